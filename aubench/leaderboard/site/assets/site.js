// Behaviour of the page: the state is in the address, and each change of it draws the page again.

const { CHARTS, chartConfig, isDark, marksOf } = globalThis.leaderboardCharts;
const DEFAULTS = { board: "", view: "scores", q: "", sort: "", hide: "", series: "", row: "", theme: "" };
const boards = new Map(JSON.parse(document.getElementById("data").textContent).map((board) => [board.id, board]));
const sections = new Map([...document.querySelectorAll(".board")].map((section) => [section.dataset.board, section]));
const byId = (id) => document.getElementById(id);
const details = new DOMParser().parseFromString(await inflate(byId("all-details").textContent), "text/html");
const articleOf = (row) => details.getElementById(`row-${row}`);
const state = { ...DEFAULTS };
const drawn = new Map(); // specification and Vega view by chart element

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

function readAddress() {
  if (location.hash === "#main" && sections.has(state.board)) { // the link that skips to the results
    history.replaceState(null, "", address());
    return;
  }
  const fields = new URLSearchParams(location.hash.slice(1));
  const article = articleOf(fields.get("row"));
  if (fields.has("row") && !fields.has("board")) {
    state.row = fields.get("row");
    if (article) state.board = article.dataset.board;
    history.replaceState(null, "", address());
  } else {
    for (const [name, value] of Object.entries(DEFAULTS)) state[name] = fields.get(name) ?? value;
  }
  if (!sections.has(state.board)) state.board = [...sections.keys()][0] ?? "";
  if (!articleOf(state.row)) state.row = "";
}

function address() {
  const fields = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  return `#${new URLSearchParams(fields)}`;
}

/** Change the state; `silent` adds nothing to the history. */
function change(fields, silent = false) {
  Object.assign(state, fields);
  history[silent ? "replaceState" : "pushState"](null, "", address());
  draw();
}

function draw() {
  document.documentElement.dataset.theme = state.theme;
  const section = sections.get(state.board);
  if (!section) return;
  byId("board").value = state.board;
  if (byId("search").value !== state.q) byId("search").value = state.q;
  for (const other of sections.values()) other.hidden = other !== section;
  for (const id of ["csv", "json"]) byId(id).disabled = !boards.has(state.board);
  drawTabs(section);
  section.querySelectorAll("table").forEach((table) => drawTable(table));
  section.querySelectorAll(".view:not([hidden]) .chart").forEach(drawChart);
  drawDetails();
}

let shownView = "";

function drawTabs(section) {
  const views = [...section.querySelectorAll(".view")];
  if (views.length && !views.some((view) => view.dataset.view === state.view)) state.view = DEFAULTS.view;
  byId("views").hidden = !views.length;
  byId("views").replaceChildren(...views.map((view) => {
    const name = view.dataset.view, isSelected = name === state.view;
    view.hidden = !isSelected;
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = view.querySelector("h3").textContent;
    tab.dataset.view = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", isSelected);
    tab.tabIndex = isSelected ? 0 : -1;
    tab.addEventListener("click", () => { change({ view: name, sort: "" }); selectedTab().focus(); });
    return tab;
  }));
  if (state.view !== shownView) selectedTab()?.scrollIntoView({ block: "nearest", inline: "nearest" });
  shownView = state.view;
}

const selectedTab = () => byId("views").querySelector("[aria-selected=true]");

function moveTab(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...byId("views").children], index = tabs.indexOf(selectedTab());
  tabs[(index + step + tabs.length) % tabs.length].click();
}

/** Make a table sortable on first use, then search and sort it. */
function drawTable(table) {
  if (!table.offsetParent || !table.tHead) return;
  const $ = globalThis.jQuery, headers = () => [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  let api;
  table.dataset.searchable ??= table.querySelector("tr[data-row]") ? "yes" : ""; // a search takes rows out of the page
  if ($.fn.dataTable.isDataTable(table)) {
    api = $(table).DataTable();
  } else {
    const measured = headers().indexOf("Measured");
    api = $(table).DataTable({
      paging: false, info: false, autoWidth: false, order: measured < 0 ? [] : [[measured, "desc"]],
      columnDefs: [{ targets: "num", orderSequence: ["desc", "asc"] }],
      layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
      language: { zeroRecords: "No row matches the search" },
    });
    api.on("order.dt", () => {
      const [[column, direction] = []] = api.order();
      if (table.offsetParent && column !== undefined && isMain(table)) change({ sort: `${headers()[column]}:${direction}` }, true);
    });
  }
  if (table.closest(".board").contains(table) && table.dataset.searchable && api.search() !== state.q) api.search(state.q).draw();
  const [header, direction] = state.sort.split(/:(?=asc$|desc$)/), column = headers().indexOf(header);
  const [[oldColumn, oldDirection] = []] = api.order();
  if (isMain(table) && column >= 0 && (column !== oldColumn || direction !== oldDirection)) api.order([[column, direction]]).draw();
}

const isMain = (table) => table.closest(".view")?.querySelector("table") === table;

function drawChart(element) {
  const board = boards.get(state.board), kind = element.dataset.chart;
  const hidden = new Set(state.hide ? state.hide.split(",") : []);
  const hasToggles = kind === "robustness" || kind === "learning";
  const all = board.charts.filter((row) => !hasToggles || row[kind].length);
  if (hasToggles) drawLegend(element, kind, all, hidden);
  const rows = hasToggles ? all.filter((row) => !hidden.has(row.id)) : all;
  const spec = { ...CHARTS[kind](board, rows, state), width: "container", config: chartConfig(), autosize: { type: "fit-x", contains: "padding" } };
  const text = JSON.stringify(spec);
  if (drawn.get(element)?.text === text) return;
  drawn.get(element)?.view?.finalize();
  drawn.set(element, { text });
  const target = element.querySelector(".plot") ?? element.appendChild(document.createElement("div"));
  target.className = "plot";
  const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } };
  globalThis.vegaEmbed(target, spec, options).then((result) => {
    drawn.set(element, { text, view: result });
    result.view.addEventListener("click", (event, item) => item?.datum?.id && change({ row: item.datum.id }));
  });
}

/** Check boxes that show and hide methods, and the choice of the corruption. */
function drawLegend(element, kind, rows, hidden) {
  const marks = marksOf(boards.get(state.board).charts), fieldset = document.createElement("fieldset");
  fieldset.className = "legend";
  fieldset.append(Object.assign(document.createElement("legend"), { textContent: "Shown methods" }));
  if (kind === "robustness") fieldset.append(seriesChoice(rows));
  for (const row of rows) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !hidden.has(row.id);
    box.dataset.row = row.id;
    box.addEventListener("change", () => {
      hidden[box.checked ? "delete" : "add"](row.id);
      change({ hide: [...hidden].join(",") }, true);
      element.querySelector(`input[data-row="${row.id}"]`).focus();
    });
    label.append(box, swatch(marks.get(row.name)), row.name);
    fieldset.append(label);
  }
  element.querySelector("fieldset")?.remove();
  element.prepend(fieldset);
}

function seriesChoice(rows) {
  const names = [...new Set(rows.flatMap((row) => row.robustness.map((point) => point.series)))];
  if (!names.includes(state.series)) state.series = names.find((name) => name.endsWith(":all")) ?? names[0];
  const label = document.createElement("label"), select = document.createElement("select");
  label.className = "series";
  names.forEach((name) => select.add(new Option(name.replace(":", " on "), name)));
  select.value = state.series;
  select.addEventListener("change", () => { change({ series: select.value }); document.querySelector(".series select").focus(); });
  label.append("Corruption", select);
  return label;
}

function swatch(mark) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const attributes = { x1: 0, x2: 34, y1: 5, y2: 5, stroke: mark.colour, "stroke-width": 3, "stroke-dasharray": mark.dash };
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

function drawDetails() {
  const dialog = byId("details");
  if (!state.row) {
    if (dialog.open) dialog.close();
    return;
  }
  byId("details-body").replaceChildren(document.importNode(articleOf(state.row), true));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function toCsv(rows) {
  const names = Object.keys(rows[0] ?? {});
  const cell = (value) => (/[",\n]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  return `${[names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(",")).join("\n")}\n`;
}

async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied");
  } catch {
    if (source) getSelection().selectAllChildren(source);
    say(source ? "selected, copy with the keyboard" : "copy the address of this page");
  }
}

function say(text) {
  (byId("details").open ? byId("details") : document.body).append(byId("status")); // an open dialog hides the rest
  byId("status").textContent = text;
  setTimeout(() => { byId("status").textContent = ""; }, 2500);
}

const fileName = (suffix) => `${state.board.replaceAll("/", "-")}.${suffix}`;

byId("board").addEventListener("change", (event) => change({ board: event.target.value, sort: "", hide: "", row: "" }));
byId("search").addEventListener("input", (event) => change({ q: event.target.value }, true));
byId("theme").addEventListener("click", () => change({ theme: isDark() ? "light" : "dark" }, true));
byId("csv").addEventListener("click", () => download(fileName("csv"), "text/csv", toCsv(boards.get(state.board).rows)));
byId("json").addEventListener("click", () => download(fileName("json"), "application/json", JSON.stringify(boards.get(state.board), null, 1)));
byId("link").addEventListener("click", () => copy(location.href));
byId("close").addEventListener("click", () => byId("details").close());
byId("details").addEventListener("close", () => state.row && change({ row: "" }));
byId("details").addEventListener("click", (event) => event.target === byId("details") && byId("details").close());
byId("views").addEventListener("keydown", moveTab);
document.addEventListener("click", (event) => {
  if (event.target.matches(".copy")) copy(event.target.previousElementSibling.textContent, event.target.previousElementSibling);
  const row = event.target.closest("tbody tr[data-row]");
  if (!row || getSelection().toString() || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  change({ row: row.dataset.row });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("hashchange", () => { readAddress(); draw(); });
addEventListener("popstate", () => { readAddress(); draw(); });
readAddress();
draw();
document.documentElement.dataset.ready = "yes";
