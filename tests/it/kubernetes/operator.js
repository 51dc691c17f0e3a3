// Checks objects, as a JSON list on standard input, against the schemas that npm's @kubernetes-models has of them:
// operator.js FOLDER-OF-MODELS, which is the one of Prometheus Operator; those of others lie beside it.
//
// The schemas let fields pass that they do not know. An API server asked to be strict does not, so that here the validator reads each object
// through a proxy, and what it has not read at the end is no field.
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const packages = { "monitoring.coreos.com": ".", "gateway.networking.k8s.io": "../gateway-api" };

// What is read through it goes into `unread` as paths, and out again when it is read.
function watched(value, where, unread) {
  if (value === null || typeof value !== "object") return value;
  const inner = new Map(Object.keys(value).map((key) => [key, `${where}.${key}`]));
  for (const place of inner.values()) unread.add(place);
  const made = new Map();
  return new Proxy(value, {
    get(target, key) {
      if (!inner.has(key)) return target[key];
      unread.delete(inner.get(key));
      if (!made.has(key)) made.set(key, watched(target[key], inner.get(key), unread));
      return made.get(key);
    },
  });
}

async function main() {
  for (const thing of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
    const name = `${thing.kind} ${thing.metadata.name}`;
    const [group, version] = thing.apiVersion.split("/");
    const file = path.join(process.argv[2], packages[group], group, version, `${thing.kind}.js`);
    const Model = (await import(pathToFileURL(file)))[thing.kind];
    try {
      new Model(thing).validate();
    } catch (e) {
      throw new Error(`${name}: ${e.message}`);
    }
    const unread = new Set();
    // Its own fields are set one by one, so that the object itself stays behind the proxy.
    const model = new Model({});
    Object.setPrototypeOf(thing, Object.getPrototypeOf(model));
    watched(thing, "", unread).validate();
    if (unread.size > 0) throw new Error(`${name}: there is no field ${[...unread].join(", ")}`);
  }
}

main().catch((e) => {
  console.error(e.message);
  process.exit(1);
});
