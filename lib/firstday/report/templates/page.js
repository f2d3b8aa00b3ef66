"use strict";
// Draws each chart from the JSON beside it, and lets a press on a legend entry bring out one action.
(async () => {
  for (const figure of document.querySelectorAll(".figure")) {
    const views = [];
    for (const panel of figure.querySelectorAll(".panel")) {
      const spec = JSON.parse(panel.querySelector("script").textContent);
      const chart = panel.querySelector(".chart");
      const options = { mode: "vega-lite", renderer: "svg", actions: false };
      try {
        views.push((await vegaEmbed(chart, spec, options)).view);
      } catch (error) {
        chart.textContent = "This chart could not be drawn; its numbers are in the table below.";
        console.error(error);
      }
    }
    const buttons = [...figure.querySelectorAll("button[data-pick]")];
    const pick = (picked) => {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(button.dataset.pick === picked));
      }
      for (const view of views) {
        view.signal("picked", picked).runAsync();
      }
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        pick(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.pick);
      });
    }
    figure.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        pick(null);
      }
    });
  }
  document.documentElement.dataset.drawn = "true";
})();
