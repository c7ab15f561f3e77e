"""HTTP: pages that gyebo serves in a browser. Needs the extra `serve`."""
