// Holds dashboards against the types that Grafana publishes of its own schema, of each version named in package.json:
//
//     node grafana/schema/check.mjs NODE_MODULES DASHBOARD.json...
//
// It prints, as JSON, what it has looked at, and each property or value of a dashboard that a version does not know.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';

const [modules, ...files] = process.argv.slice(2);
const ts = createRequire(join(modules, 'check.cjs'))('typescript');

/** The one file of declarations in a directory of a package. */
function declarations(root, directory) {
  for (const kind of ['types', 'esm']) {
    const path = join(root, 'dist', kind, 'raw', directory, 'x');
    const found = existsSync(path) ? readdirSync(path).filter((name) => /\.d\.m?ts$/.test(name)) : [];
    if (found.length > 0) return join(path, found[0]);
  }
  return undefined;
}

/** The types of a version: of dashboards, of what their panels' plugins take, and of Prometheus' queries where they are there. */
function schema(root, kinds) {
  const paths = { dashboard: declarations(root, 'dashboard'), query: declarations(root, 'composable/prometheus/dataquery') };
  for (const kind of kinds) paths[kind] = declarations(root, `composable/${kind}/panelcfg`);
  const missing = ['dashboard', ...kinds].filter((name) => paths[name] === undefined);
  if (missing.length > 0) return { missing };
  const index = ['types/index.d.ts', 'esm/index.d.mts', 'index.d.ts'].map((name) => join(root, 'dist', name)).find(existsSync);
  const program = ts.createProgram(Object.values(paths).filter(Boolean), {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    // What a plugin's declarations import is the same version's.
    paths: { '@grafana/schema': [index] },
    types: [],
  });
  const checker = program.getTypeChecker();
  const named = (path, name) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(path));
    const found = checker.getExportsOfModule(module).find((symbol) => symbol.name === name);
    return found && checker.getDeclaredTypeOfSymbol(found);
  };
  return {
    missing,
    checker,
    dashboard: named(paths.dashboard, 'Dashboard'),
    row: named(paths.dashboard, 'RowPanel'),
    panel: named(paths.dashboard, 'Panel'),
    field: named(paths.dashboard, 'FieldConfig'),
    query: paths.query && named(paths.query, 'PrometheusDataQuery'),
    options: (kind) => named(paths[kind], 'Options'),
    custom: (kind) => named(paths[kind], 'FieldConfig'),
  };
}

/** What of a value is not of the type: a list of [path, what]. */
function faults(checker, value, type, path) {
  if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return [];
  if (value !== null) type = checker.getNonNullableType(type);
  if (type.isUnion()) {
    const all = type.types.map((one) => faults(checker, value, one, path));
    // Of several that do not fit, the one that fits best says most.
    return all.reduce((best, one) => (one.length < best.length ? one : best));
  }
  const wrong = () => [[path, `${JSON.stringify(value)} is not ${checker.typeToString(type)}`]];
  if (value === null) return type.flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined) ? [] : wrong();
  if (type.flags & ts.TypeFlags.BooleanLiteral) return checker.typeToString(type) === String(value) ? [] : wrong();
  if (type.isLiteral()) return type.value === value ? [] : wrong();
  if (type.flags & ts.TypeFlags.StringLike) return typeof value === 'string' ? [] : wrong();
  if (type.flags & ts.TypeFlags.NumberLike) return typeof value === 'number' ? [] : wrong();
  if (type.flags & ts.TypeFlags.BooleanLike) return typeof value === 'boolean' ? [] : wrong();
  if (checker.isArrayType(type)) {
    const [element] = checker.getTypeArguments(type);
    return Array.isArray(value) ? value.flatMap((one) => faults(checker, one, element, `${path}[]`)) : wrong();
  }
  if (typeof value !== 'object' || Array.isArray(value)) return wrong();
  const index = checker.getIndexInfoOfType(type, ts.IndexKind.String);
  return Object.entries(value).flatMap(([key, inner]) => {
    const property = checker.getPropertyOfType(type, key);
    const of = property ? checker.getTypeOfSymbol(property) : index?.type;
    return of ? faults(checker, inner, of, `${path}.${key}`) : [[`${path}.${key}`, 'is not known']];
  });
}

/** The type of a property by its path, as of `custom.hideFrom`. */
function typeAt(checker, type, path) {
  return path.reduce((of, key) => {
    const property = of && checker.getPropertyOfType(checker.getNonNullableType(of), key);
    return property && checker.getTypeOfSymbol(property);
  }, type);
}

function ofPanel(version, panel) {
  const { checker } = version;
  const kind = panel.type;
  const { options, targets, ...rest } = panel;
  const { custom, ...defaults } = panel.fieldConfig.defaults;
  const found = faults(checker, { ...rest, fieldConfig: { ...panel.fieldConfig, defaults } }, version.panel, kind);
  found.push(...faults(checker, options ?? {}, version.options(kind), `${kind}.options`));
  const ofCustom = version.custom(kind);
  if (custom && !ofCustom) found.push([`${kind}.custom`, 'is not known']);
  else if (custom) found.push(...faults(checker, custom, ofCustom, `${kind}.custom`));
  for (const { properties } of panel.fieldConfig.overrides ?? []) {
    for (const { id, value } of properties) {
      const steps = id.split('.');
      const type = steps[0] === 'custom' ? ofCustom && typeAt(checker, ofCustom, steps.slice(1)) : typeAt(checker, version.field, steps);
      if (!type) found.push([`${kind}.override.${id}`, 'is not known']);
      // null takes a default away.
      else if (value !== null && value !== undefined) found.push(...faults(checker, value, type, `${kind}.override.${id}`));
    }
  }
  for (const target of version.query ? (targets ?? []) : []) found.push(...faults(checker, target, version.query, 'target'));
  return found;
}

const boards = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
const panels = boards.flatMap(({ panels }) => panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel])));
const kinds = [...new Set(panels.map(({ type }) => type))].sort();
const versions = Object.keys(JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')).dependencies);
const report = { dashboards: boards.length, panels: panels.length, kinds, versions: {} };
for (const name of versions.filter((name) => name.startsWith('grafana-'))) {
  const root = join(modules, name);
  const version = schema(root, kinds);
  const release = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
  // The same thing in many panels is one thing.
  const unknown = new Map();
  const note = (found, where) => found.forEach(([path, what]) => unknown.has(`${path} ${what}`) || unknown.set(`${path} ${what}`, { path, what, where }));
  if (version.missing.length === 0) {
    boards.forEach((board, number) => {
      const where = basename(files[number]);
      const rows = board.panels.map((panel) => (panel.type === 'row' ? { ...panel, panels: [] } : undefined)).filter(Boolean);
      note(faults(version.checker, { ...board, panels: [] }, version.dashboard, 'dashboard'), where);
      rows.forEach((row) => note(faults(version.checker, row, version.row, 'row'), where));
      board.panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel])).forEach((panel) => note(ofPanel(version, panel), `${where}, ${panel.title}`));
    });
  }
  report.versions[name] = { release, missing: version.missing, unknown: [...unknown.values()] };
}
process.stdout.write(`${JSON.stringify(report, null, 1)}\n`);
