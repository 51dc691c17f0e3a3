// A page in a tab: how it is opened, drawn in a view, asked and pictured.

import { writeFile } from 'node:fs/promises';

const HEIGHT = 900;

/** A tab, and what it asks for and complains about. */
export class Page {
  complaints = [];
  requests = [];
  #loaded = () => {};
  #url;

  constructor(tab) {
    this.tab = tab;
  }

  async prepare() {
    const { tab } = this;
    tab.on('Page.loadEventFired', () => this.#loaded());
    tab.on('Network.requestWillBeSent', ({ request }) => this.requests.push(request.url));
    tab.on('Network.responseReceived', ({ response, type }) => {
      if (type === 'Document') {
        this.status = response.status;
        this.policy = Object.entries(response.headers).find(([name]) => name.toLowerCase() === 'content-security-policy')?.[1];
      }
    });
    tab.on('Runtime.consoleAPICalled', ({ type, args }) => this.complaints.push(`console.${type}: ${args.map(({ value }) => value).join(' ')}`));
    tab.on('Runtime.exceptionThrown', ({ exceptionDetails }) => this.complaints.push(`exception: ${exceptionDetails.text}`));
    tab.on('Log.entryAdded', ({ entry }) => {
      // A page that says itself that something is not there has that status.
      if (entry.source !== 'network' || entry.url !== this.#url) {
        this.complaints.push(`${entry.level}: ${entry.text} ${entry.url ?? ''}`);
      }
    });
    tab.on('Audits.issueAdded', ({ issue }) => this.complaints.push(`issue: ${issue.code} ${JSON.stringify(issue.details)}`));
    for (const domain of ['Page', 'Network', 'Runtime', 'Log', 'Audits']) {
      await tab.send(`${domain}.enable`);
    }
    await tab.send('Network.setCacheDisabled', { cacheDisabled: true });
    // As if the window were in front.
    await tab.send('Emulation.setFocusEmulationEnabled', { enabled: true });
    await tab.send('Emulation.setScrollbarsHidden', { hidden: true });
  }

  async open(url) {
    [this.complaints, this.requests, this.#url] = [[], [], url];
    const loaded = new Promise((resolve) => (this.#loaded = resolve));
    const began = performance.now();
    const { errorText } = await this.tab.send('Page.navigate', { url });
    if (errorText) {
      throw new Error(`${url}: ${errorText}`);
    }
    await loaded;
    // Lays it out.
    await this.evaluate(() => document.documentElement.scrollHeight);
    return performance.now() - began;
  }

  async view(width, scheme) {
    await this.tab.send('Emulation.setDeviceMetricsOverride', { width, height: HEIGHT, deviceScaleFactor: 1, mobile: false });
    await this.tab.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  /** What a function returns inside the page. */
  async evaluate(what, ...given) {
    const expression = typeof what === 'string' ? what : `(${what})(${given.map((one) => JSON.stringify(one)).join(', ')})`;
    const { result, exceptionDetails } = await this.tab.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  async press(key, modifiers = 0) {
    const event = { key, code: key, windowsVirtualKeyCode: 9, modifiers };
    await this.tab.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...event });
    await this.tab.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async picture(file) {
    const height = await this.evaluate(() => document.documentElement.scrollHeight);
    const width = await this.evaluate(() => document.documentElement.clientWidth);
    const clip = { x: 0, y: 0, width, height: Math.min(height, 16_000), scale: 1 };
    const { data } = await this.tab.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    await writeFile(file, Buffer.from(data, 'base64'));
  }
}
