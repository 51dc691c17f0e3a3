// Checks objects of Prometheus Operator, as a JSON list on standard input, against its schemas: operator.js FOLDER-OF-MODELS
const path = require("node:path");
const models = require(path.join(process.argv[2], "monitoring.coreos.com/v1"));
for (const thing of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
  new models[thing.kind](thing).validate();
}
