// The order of the page.

async function start() {
  const content = document.getElementById("content");
  if (typeof DecompressionStream === "undefined") {
    content.prepend(make("p", { class: "note" }, "Charts and tables need a browser of 2023 or later. What follows are the answers alone."));
    return;
  }
  const [data, plotly] = await Promise.all([unpackText("evenkeel-data"), unpackText("plotly")]);
  document.head.append(make("script", {}, plotly));  // runs at once
  content.replaceChildren();
  main(readReport(JSON.parse(data)));
}

function main(report) {
  startTheme(() => { paintSwatches(report); drawAll(); });
  addHead(report);
  addRoutersSection(report);
  const trained = report.arms.some((arm) => arm.steps.length > 0 || arm.evals.length > 0);
  if (report.arms.length > 0) addSetupSection(report);
  if (trained) addLossSection(report);
  addForgettingSection(report);
  if (report.arms.some((arm) => arm.isMoe)) {
    addBalanceSection(report);
    addLoadSection(report);
  } else if (trained) {
    addNote(document.getElementById("loss"), "All layers are dense, so there is no routing to show.");
  }
  addSaturationSection(report);
  if (trained) {
    addLearningRateSection(report);
    addCostSection(report);
  }
  addAnalysisSections(report);
  addTablesSection(report);
  addRecipeSection(report);
  addDefinitionsSection(report);
  document.getElementById("content").append(make("footer", {}, footerText(report, trained)));
  addArmFilter(report);
  paintSwatches(report);
  keepExportTitle();
  followScroll();
  followAddress();
  followWidth();
  drawFirst().then(showAddressed);
}

function footerText(report, trained) {
  const kept = [trained ? "loss, rate and balance of each step, and of the experts' loads at most 240 steps of an arm; metrics.jsonl of each run has the rest" : "",
    report.analyses.length > 0 ? "the tables of each analysis; its folder csv has those that are longer" : ""].filter((part) => part !== "");
  return `This page is one file and needs no network. It holds what its charts show, every number with all its digits: ${kept.join(". It also holds ")}. Charts can be zoomed. Above each, PNG and SVG save its picture, PDF prints it alone on a page of its size, CSV saves its figures with all their digits.`;
}
