"""The function behind every verb: `gyebo.jobs.VERB.VERB`."""
