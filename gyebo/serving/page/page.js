"use strict";

// What the page says, in both languages; the language of the browser decides, and the rater may change it.
const TEXTS = {
  en: {
    otherLanguage: "한국어",
    welcome: "Judge the responses of conversations",
    task: "Read each conversation and judge its last response with two questions. Each answer is saved at once; you may stop at any time and go on later under the same name.",
    sensible: "Does the response make sense?",
    sensibleHint: "Judge by the conversation so far. No, if it is confusing, illogical, out of place or false.",
    specific: "Is it specific to this conversation?",
    specificHint: "No, if it would fit dozens of other conversations as well, such as “I don't know” or “That's nice”.",
    name: "Your name",
    start: "Start",
    leave: "Change rater",
    export: "Export",
    judged: "Response to judge",
    speaker: (name) => `Speaker ${name}`,
    turn: (number) => `Turn ${number} of its conversation`,
    nothing: "(no response)",
    yes: "Yes",
    no: "No",
    back: "Back",
    skip: "Skip",
    count: (done, all) => `${done} of ${all} rated`,
    before: (sensible, specific) => `Your answer so far: ${!sensible ? "no sense" : specific ? "makes sense, specific" : "makes sense, not specific"}`,
    done: "All responses are rated. Thank you!",
    doneHint: "Everything is saved. You may go back and change answers.",
    unreachable: "Not saved: the server does not answer. Answer again once it runs.",
    empty: "Please enter your name.",
  },
  ko: {
    otherLanguage: "English",
    welcome: "대화를 읽고 대답을 평가해 주세요",
    task: "각 대화의 마지막 대답을 두 가지 질문으로 평가합니다. 답은 그때그때 저장되며, 언제든지 멈췄다가 같은 이름으로 이어서 할 수 있습니다.",
    sensible: "말이 되는 대답인가요?",
    sensibleHint: "지금까지의 대화에 비추어 헷갈리거나 엉뚱하거나 앞뒤가 안 맞거나 틀린 말이면 ‘아니요’입니다.",
    specific: "이 대화에 맞춘 구체적인 대답인가요?",
    specificHint: "“모르겠어요”, “그렇군요”처럼 다른 수십 가지 대화에도 쓸 수 있는 말이면 ‘아니요’입니다.",
    name: "이름",
    start: "시작",
    leave: "평가자 바꾸기",
    export: "내보내기",
    judged: "평가할 대답",
    speaker: (name) => `화자 ${name}`,
    turn: (number) => `대화의 ${number}번째 대답`,
    nothing: "(대답 없음)",
    yes: "예",
    no: "아니요",
    back: "뒤로",
    skip: "건너뛰기",
    count: (done, all) => `${all}개 중 ${done}개 평가함`,
    before: (sensible, specific) => `지금까지의 답: ${!sensible ? "말이 안 됨" : specific ? "말이 됨, 구체적임" : "말이 됨, 구체적이지 않음"}`,
    done: "모든 대답을 평가했습니다. 고맙습니다!",
    doneHint: "모두 저장되었습니다. 뒤로 가서 답을 고칠 수 있습니다.",
    unreachable: "저장되지 않았습니다: 서버가 응답하지 않습니다. 서버가 켜지면 다시 답해 주세요.",
    empty: "이름을 적어 주세요.",
  },
};

// A key gives a move whether or not a Korean keyboard is switched to Hangul, where the same key types a jamo.
const KEYS = {
  1: "yes", y: "yes", ㅛ: "yes",
  2: "no", n: "no", ㅜ: "no",
  b: "back", ㅠ: "back", arrowleft: "back",
  s: "skip", ㄴ: "skip", arrowright: "skip",
};
const CODES = { KeyY: "yes", KeyN: "no", KeyB: "back", KeyS: "skip" }; // while an input method holds the key back

const element = (id) => document.getElementById(id);
const state = {
  language: sessionStorage.getItem("language") || (navigator.language.startsWith("ko") ? "ko" : "en"),
  rater: sessionStorage.getItem("rater"),
  items: [],
  place: 0, // of the item that is shown; items.length: all are rated
  sensible: false, // whether "yes" was said to the first question, so that the second is asked
  saving: false,
};
const text = () => TEXTS[state.language];

// ---- what is shown

function show() {
  const entered = state.items.length > 0;
  const item = state.items[state.place];
  document.documentElement.lang = state.language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text()[node.dataset.text];
  element("enter").hidden = entered;
  element("rate").hidden = !item;
  element("done").hidden = !entered || Boolean(item);
  element("panel").hidden = !entered;
  element("asked").hidden = element("skip").hidden = !item;
  for (const id of ["progress", "count", "who", "leave", "export"]) element(id).hidden = !entered;
  if (entered) showProgress();
  if (item) showItem(item);
  if (entered) element("name").blur(); // a field that is hidden keeps the keys until the next frame
  else element("name").focus();
}

function showProgress() {
  const done = state.items.filter((item) => item.answer).length;
  element("progress").max = state.items.length;
  element("progress").value = done;
  element("count").textContent = text().count(done, state.items.length);
  element("who").textContent = state.rater;
  element("export").href = `api/export?rater=${encodeURIComponent(state.rater)}`;
  element("back").disabled = state.place === 0 && !state.sensible;
}

function showItem(item) {
  const answer = item.answer;
  element("turn").textContent = item.turn === null ? "" : text().turn(item.turn);
  element("conversation").replaceChildren(...bubbles(item));
  element("question").textContent = state.sensible ? text().specific : text().sensible;
  element("hint").textContent = state.sensible ? text().specificHint : text().sensibleHint;
  element("before").textContent = answer ? text().before(answer.sensible, answer.specific) : "";
  const said = answer && (state.sensible ? answer.specific : answer.sensible);
  element("yes").setAttribute("aria-pressed", String(said === true));
  element("no").setAttribute("aria-pressed", String(said === false));
  scrollTo(0, document.body.scrollHeight);
}

function bubbles(item) {
  const turns = [...item.context, item.response];
  return turns.map((words, place) => {
    const fromEnd = turns.length - 1 - place; // the response's speaker said every second turn before it
    const name = text().speaker(fromEnd % 2 ? "A" : "B");
    const classes = ["turn", fromEnd % 2 ? "other" : "bot", ...(fromEnd ? [] : ["judged"])];
    return bubble(classes, fromEnd ? name : `${text().judged} · ${name}`, words);
  });
}

function bubble(classes, name, words) {
  const node = document.createElement("li");
  node.className = classes.join(" ");
  const who = node.appendChild(document.createElement("span"));
  who.className = "who";
  who.textContent = name;
  const said = node.appendChild(document.createElement("p"));
  said.dir = "auto";
  said.textContent = words.trim() ? words : text().nothing; // as text: whatever a bot wrote, nothing of it is run
  said.classList.toggle("nothing", !words.trim());
  return node;
}

function trouble(message) {
  element("trouble").textContent = message;
  element("trouble").hidden = !message;
}

// ---- the server

async function call(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error(text().unreachable);
  }
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({}));
  throw new Error(typeof detail === "string" ? detail : `${response.status} ${response.statusText}`);
}

async function enter(rater) {
  try {
    const found = await call(`api/items?rater=${encodeURIComponent(rater)}`);
    Object.assign(state, { rater: found.rater, items: found.items, sensible: false });
    sessionStorage.setItem("rater", found.rater); // of this tab: another may have another rater
    state.place = unrated(-1);
    trouble("");
  } catch (error) {
    trouble(error.message);
  }
  show();
}

async function save(answer) {
  const item = state.items[state.place];
  state.saving = true;
  try {
    const body = JSON.stringify({ rater: state.rater, item: item.key, ...answer });
    await call("api/ratings", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    item.answer = answer;
    trouble("");
    moveTo(unrated(state.place));
  } catch (error) {
    trouble(error.message); // the response stays on the screen, and may be answered again
  } finally {
    state.saving = false;
  }
}

// ---- moves

// The next item without an answer, from the beginning again where none follows; the end where all are rated.
function unrated(after) {
  const open = state.items.map((item, place) => (item.answer ? -1 : place)).filter((place) => place >= 0);
  return open.find((place) => place > after) ?? open[0] ?? state.items.length;
}

function moveTo(place) {
  Object.assign(state, { place, sensible: false });
  show();
}

function answer(yes) {
  if (state.place === state.items.length) return;
  if (state.sensible) {
    save({ sensible: true, specific: yes });
  } else if (yes) {
    state.sensible = true;
    show();
  } else {
    save({ sensible: false, specific: null });
  }
}

function back() {
  if (state.sensible) moveTo(state.place);
  else if (state.place > 0) moveTo(state.place - 1);
}

const MOVES = { yes: () => answer(true), no: () => answer(false), back, skip: () => moveTo(unrated(state.place)) };

function move(name) {
  if (state.items.length && !state.saving) MOVES[name]();
}

document.addEventListener("keydown", (event) => {
  const writing = event.target instanceof HTMLInputElement;
  if (writing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = KEYS[event.key.toLowerCase()] ?? (event.key === "Process" ? CODES[event.code] : undefined);
  if (!name) return;
  event.preventDefault();
  move(name);
});
for (const name of Object.keys(MOVES)) element(name).addEventListener("click", () => move(name));
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const rater = element("name").value.trim();
  if (rater) enter(rater);
  else trouble(text().empty);
});
element("leave").addEventListener("click", () => {
  sessionStorage.removeItem("rater");
  Object.assign(state, { rater: null, items: [], place: 0, sensible: false });
  element("name").value = "";
  show();
});
element("language").addEventListener("click", () => {
  state.language = state.language === "ko" ? "en" : "ko";
  sessionStorage.setItem("language", state.language);
  show();
});

if (state.rater) enter(state.rater);
else show();
