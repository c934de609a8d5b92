// The order of the page.

function main() {
  const report = loadReport();
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
  document.getElementById("content").append(make("footer", {},
    "This page is one file: it needs no network, and holds the results it shows. Charts can be zoomed, and saved with the camera at their corner."));
  addArmFilter(report);
  paintSwatches(report);
  followScroll();
  followWidth();
  drawFirst().then(showAddressed);
}
