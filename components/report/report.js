"use strict";

const NARROW = matchMedia("(max-width: 760px)");
const DARK = matchMedia("(prefers-color-scheme: dark)");
// A4 between its margins, in CSS pixels.
const PAPER = 680;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function resolve(value, names) {
  if (typeof value === "string" && value.startsWith("@")) return names(value.slice(1));
  if (Array.isArray(value)) return value.map((item) => resolve(item, names));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, names)]));
  }
  return value;
}

function axis(given, ink) {
  const title = given.title ? { ...given.title, font: { size: 13, color: ink("muted") }, standoff: 10 } : undefined;
  return {
    gridcolor: ink("line"), linecolor: ink("line"), zerolinecolor: ink("line"),
    tickfont: { size: 12, color: ink("muted") }, ...given, title,
  };
}

function draw(width) {
  const narrow = NARROW.matches;
  document.querySelectorAll("script[data-chart]").forEach((source) => {
    const figure = resolve(JSON.parse(source.textContent), colour);
    const node = document.getElementById(source.dataset.chart);
    const change = (narrow && figure.narrow) || {};
    const layout = {
      ...figure.layout, ...change,
      xaxis: axis({ ...figure.layout.xaxis, ...change.xaxis }, colour),
      yaxis: axis(figure.layout.yaxis, colour),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("muted"), font: { color: colour("ink"), size: 13 }, align: "left" },
      // On a phone a drag scrolls the page.
      dragmode: narrow ? false : "zoom",
    };
    if (width) layout.width = Math.min(width, PAPER);
    Plotly.react(node, figure.data, layout, { displayModeBar: false, responsive: true });
  });
  // Plotly measures text in it; a screen reader has nothing to find there.
  document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
}

function key(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
}

function compare(a, b, sign) {
  if (typeof a === "string") return sign * a.localeCompare(b, "en", { numeric: true });
  // What is missing comes last both ways.
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies[0].rows];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      // Ascending, descending, then the order of the file.
      const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      const rows = [...original];
      if (next) {
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        rows.sort((a, b) => compare(key(a, column), key(b, column), sign));
      }
      table.tBodies[0].append(...rows);
    });
  });
}

function pictures() {
  const dialog = document.getElementById("zoom");
  document.querySelectorAll(".picture").forEach((button) => {
    button.addEventListener("click", () => {
      const scan = button.firstElementChild;
      dialog.querySelector(".stage").replaceChildren(scan.cloneNode(true));
      dialog.querySelector("p").textContent = scan.getAttribute("aria-label");
      dialog.showModal();
    });
  });
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

pictures();
document.querySelectorAll("table.sortable").forEach(sortable);
draw();
DARK.addEventListener("change", () => draw());
NARROW.addEventListener("change", () => draw());
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  draw(PAPER);
});
addEventListener("afterprint", () => draw());
