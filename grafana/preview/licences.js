// Checks that every package that package-lock.json names may be used freely, so that the preview stays free of copyleft code.

import { readFile } from 'node:fs/promises';

const FREE = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'CC0-1.0', 'ISC', 'MIT', 'Unlicense', 'Zlib']);

// These say it in a file, and not in their package.json.
const SAID_ELSEWHERE = { 'fast-shallow-equal': 'Unlicense', 'react-universal-interface': 'Unlicense' };

// This says nothing. Grafana's query editor brings it along, and vite.config.js leaves it out of the page.
const LEFT_OUT = new Set(['get-document']);

const { packages } = JSON.parse(await readFile(new URL('package-lock.json', import.meta.url), 'utf8'));
const counts = new Map();
const refused = [];
for (const [path, { license }] of Object.entries(packages)) {
  const name = path.split('node_modules/').at(-1);
  if (LEFT_OUT.has(name)) {
    continue;
  }
  const said = license ?? SAID_ELSEWHERE[name] ?? 'nothing';
  // "(A OR B)" is free when one of them is, "(A AND B)" when both are.
  const either = said.replace(/[()]/g, '').split(' OR ');
  if (either.some((choice) => choice.split(' AND ').every((each) => FREE.has(each)))) {
    counts.set(said, (counts.get(said) ?? 0) + 1);
  } else {
    refused.push(`${name}: ${said}`);
  }
}
for (const [said, count] of [...counts].sort((a, b) => b[1] - a[1])) {
  console.log(String(count).padStart(4), said);
}
if (refused.length > 0) {
  console.error(`not known to be free:\n  ${refused.join('\n  ')}`);
  process.exitCode = 1;
}
