#!/usr/bin/env node
// Looks at pages in a headless Chromium: wide and narrow, light and dark, with the keyboard, and with axe-core's rules. `--help`
// tells the rest.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { Chromium } from './chromium.mjs';
import * as inPage from './in_page.mjs';
import { Page } from './page.mjs';

const HELP = `usage: look.mjs --axe axe.min.js [options] URL...

Prints what it saw of each page, as JSON: its status, title and text, how large it is, how long the browser took for it, and in "wrong" what is
wrong with it. The exit code is 1 when something is.

  --axe FILE        axe-core
  --chromium FILE   the browser                 (/usr/bin/chromium)
  --pictures DIR    also takes a picture of each page in each view
  --briefly         only the layout of each page in each view, and the rest in one of them
`;

const SCHEMES = ['light', 'dark'];
const WIDTHS = [1600, 360];
// So wide that nothing scrolls sideways.
const VAST = 5_000;
// WCAG 2.2 AA, and what axe-core's authors hold for good practice.
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const { values: options, positionals: urls } = parseArgs({
  allowPositionals: true,
  options: {
    axe: { type: 'string' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    pictures: { type: 'string' },
    briefly: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (options.help || !options.axe || urls.length === 0) {
  process.stdout.write(HELP);
  process.exitCode = options.help ? 0 : 2;
} else {
  process.exitCode = await main().catch((error) => {
    console.error(`error: ${error.message}`);
    return 3;
  });
}

async function main() {
  const axe = await readFile(options.axe, 'utf8');
  const browser = await Chromium.start(options.chromium);
  try {
    const page = new Page(await browser.tab());
    await page.prepare();
    const seen = [];
    for (const url of urls) {
      seen.push(await look(page, url, axe));
    }
    console.log(JSON.stringify(seen, null, 1));
    return seen.some(({ wrong }) => wrong.length > 0) ? 1 : 0;
  } finally {
    await browser.close();
  }
}

/** Looks at one page in all views. */
async function look(page, url, axe) {
  const wrong = [];
  const found = (view, sentences) => wrong.push(...sentences.map((sentence) => `${view}: ${sentence}`));
  let milliseconds = 0;
  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) {
      const view = `${width} ${scheme}`;
      // Each pair of a width and a scheme is drawn; what does not depend on both is looked at once.
      const isFirst = scheme === SCHEMES[0] && width === WIDTHS[0];
      await page.view(width, scheme);
      if (isFirst) {
        milliseconds = await page.open(url);
        found('loading', [...page.complaints, ...requests(page, url)]);
        found('markup', await page.evaluate(inPage.markup));
      }
      found(view, await page.evaluate(inPage.layout));
      found(view, await page.evaluate(inPage.lines));
      if (options.pictures) {
        await mkdir(options.pictures, { recursive: true });
        await page.picture(join(options.pictures, `${name(url)}-${width}-${scheme}.png`));
      }
      if (options.briefly ? isFirst : SCHEMES.indexOf(scheme) === WIDTHS.indexOf(width)) {
        // Opened anew, the focus is nowhere.
        await page.open(url);
        found(`${view}, keyboard`, await keyboard(page));
      }
    }
    if (scheme === SCHEMES[0] || !options.briefly) {
      found(`${scheme}, axe-core`, await rules(page, axe, ['violations']));
      // It cannot judge the contrast of what is scrolled away.
      await page.view(VAST, scheme);
      await page.evaluate(() => (document.body.firstElementChild.style.maxWidth = 'none'));
      found(`${scheme}, axe-core`, await rules(page, axe, ['violations', 'incomplete']));
      await page.evaluate(() => (document.body.firstElementChild.style.maxWidth = ''));
    }
  }
  found('later', page.complaints);
  const [title, text] = [await page.evaluate(() => document.title), await page.evaluate(() => document.body.innerText)];
  const elements = await page.evaluate(() => document.querySelectorAll('*').length);
  return { url, status: page.status, title, milliseconds: Math.round(milliseconds), elements, wrong: [...new Set(wrong)], text };
}

function name(url) {
  const { pathname, port } = new URL(url);
  return `${port}${pathname.replace(/[^A-Za-z0-9]+/g, '-')}`.replace(/-$/, '');
}

function requests({ requests, policy }, url) {
  const wrong = requests.filter((asked) => asked !== url).map((asked) => `it asks for ${asked}`);
  if (!policy?.startsWith("default-src 'none'")) {
    wrong.push(`the policy lets the page load something: ${policy}`);
  }
  return wrong;
}

/** Goes through the page with Tab, and back from its end. */
async function keyboard(page) {
  const wrong = [];
  const controls = await page.evaluate(inPage.controls);
  let before = { top: -Infinity, left: -Infinity, height: 0 };
  for (const [place, control] of controls.entries()) {
    await page.press('Tab');
    const now = await page.evaluate(inPage.focus);
    if (now?.place !== place) {
      return [...wrong, `Tab leads to ${now ? controls[now.place] : 'nothing'}, not to number ${place}: ${control}`];
    }
    if (!now.isMarked || !now.isSeen) {
      wrong.push(`what has the focus is ${now.isMarked ? 'not in the window' : 'not marked'}: ${control}`);
    }
    // A line further down, or further right on the same.
    const isAfter = now.top > before.top + before.height / 2 || (now.top > before.top - before.height && now.left > before.left);
    if (!isAfter && place > 0) {
      wrong.push(`Tab goes back to ${control}`);
    }
    wrong.push(...(await page.evaluate(inPage.lines)));
    before = now;
  }
  // Behind the last control comes the window's own frame, or, as it has none here, the first control again.
  await page.press('Tab');
  const beyond = await page.evaluate(inPage.focus);
  if (controls.length > 1 && beyond !== null && beyond.place !== 0) {
    wrong.push(`Tab does not leave the page, but leads to ${controls[beyond.place]}`);
  }
  const SHIFT = 8;
  let last = null;
  for (let presses = 0; presses < 2 && last?.place !== controls.length - 1; presses += 1) {
    await page.press('Tab', SHIFT);
    last = await page.evaluate(inPage.focus);
  }
  if (controls.length > 0 && last?.place !== controls.length - 1) {
    wrong.push(`Shift and Tab do not lead back to the last control, but to ${last ? controls[last.place] : 'nothing'}`);
  }
  return [...new Set(wrong)];
}

/** What axe-core finds, of these kinds: violations, and what it cannot decide. */
async function rules(page, axe, kinds) {
  if (!(await page.evaluate(() => typeof axe === 'object'))) {
    // Nothing is returned: what it returns cannot be sent.
    await page.evaluate(`${axe}\nundefined;`);
  }
  // How much of it comes back is bounded: the page of many agents has thousands of elements.
  const run = async (values, kinds) => {
    const outcome = await axe.run(document, { runOnly: { type: 'tag', values }, preload: false, resultTypes: kinds });
    const why = ({ html, any, all, none }) => `${html.slice(0, 160)} ${[...any, ...all, ...none].map(({ message }) => message).join('; ')}`;
    const found = kinds.flatMap((kind) => outcome[kind]);
    return found.map(({ id, help, nodes }) => `${id}: ${help} (${nodes.length}): ${nodes.slice(0, 3).map(why).join(' | ')}`);
  };
  return page.evaluate(run, RULES, kinds);
}
