// Everything is in the page without this script: it adds sorting, the choice of a split, the choice
// of light or dark, and values that are shown without a wait.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const key = "minkgen-report-theme";
  // A page from a file share may have no storage; the choice then lasts as long as the page.
  const remember = (value) => { try { localStorage.setItem(key, value); } catch { /* no storage */ } };
  const remembered = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const theme = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

  // Before the first paint, or the page would flash in the other colours.
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

  function offerThemes() {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = theme() === "dark" ? "Light colours" : "Dark colours"; };
    button.addEventListener("click", () => {
      root.dataset.theme = theme() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      name();
    });
    system.addEventListener("change", name);
    name();
  }

  function offerSplits() {
    for (const choice of document.querySelectorAll("input[name=split]")) {
      choice.addEventListener("change", () => { root.dataset.shown = choice.value; });
      if (choice.checked) root.dataset.shown = choice.value; // as after going back to the page
    }
  }

  // The library sorts by a click on a header; a button in it is reached and pressed by keys, too.
  function offerSorting() {
    for (const header of document.querySelectorAll("table.sortable th")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
    }
  }

  function tellValues() {
    const told = document.getElementById("told");
    for (const drawing of document.querySelectorAll("svg[role=img]")) {
      const title = drawing.querySelector(":scope > title");
      drawing.setAttribute("aria-label", title.textContent);
      drawing.removeAttribute("aria-labelledby");
      drawing.setAttribute("aria-describedby", drawing.id + "-text");
      title.remove(); // or the browser shows it over every value
    }
    document.addEventListener("pointerover", (event) => {
      const shape = event.target.closest("svg[role=img] *");
      const holder = shape?.closest("[data-told]") ?? shape?.closest(":has(> title)");
      told.hidden = !holder;
      if (!holder) return;
      const title = holder.querySelector(":scope > title");
      if (title) {
        holder.dataset.told = title.textContent;
        title.remove();
      }
      told.textContent = holder.dataset.told;
      const box = told.getBoundingClientRect();
      const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
      const above = event.clientY - box.height - 10;
      told.style.left = `${Math.max(8, left)}px`;
      told.style.top = `${above > 0 ? above : event.clientY + 18}px`;
    });
    document.addEventListener("scroll", () => { told.hidden = true; }, { passive: true });
  }

  document.addEventListener("DOMContentLoaded", () => {
    offerThemes();
    offerSplits();
    offerSorting();
    tellValues();
    document.querySelector(".controls").hidden = false;
  });
})();
