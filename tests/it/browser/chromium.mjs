// Chromium over the DevTools protocol, through a pipe: it needs no package and no port, and ends when the pipe does.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// An answer takes milliseconds; this only ends what escaped.
const PATIENCE = 60_000;

const FLAGS = [
  '--headless=new',
  '--remote-debugging-pipe',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-extensions',
  '--mute-audio',
  '--lang=en-GB',
  '--font-render-hinting=none',
  // No other host is there, whatever a page or the browser asks for.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

export class Chromium {
  #process;
  #profile;
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();
  #log = '';

  static async start(program) {
    const browser = new Chromium();
    browser.#profile = await mkdtemp(join(tmpdir(), 'browser-'));
    const flags = [...FLAGS, `--user-data-dir=${browser.#profile}`, 'about:blank'];
    browser.#process = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
    browser.#process.stderr.on('data', (data) => (browser.#log = (browser.#log + data).slice(-10_000)));
    browser.#process.on('error', (error) => browser.#ended(`${program} does not start: ${error.message}`));
    browser.#process.on('exit', (code) => browser.#ended(`${program} has ended with ${code}:\n${browser.#log}`));
    browser.#process.stdio[3].on('error', () => {});
    browser.#read(browser.#process.stdio[4]);
    return browser;
  }

  /** A tab, in which nothing is stored. */
  async tab() {
    const { browserContextId } = await this.send('Target.createBrowserContext');
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    return {
      send: (method, parameters) => this.send(method, parameters, sessionId),
      on: (method, listener) => this.#listeners.set(`${sessionId} ${method}`, listener),
    };
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method} has no answer`)), PATIENCE);
      this.#waiting.set(id, { method, timer, resolve, reject });
      this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.send('Browser.close').catch(() => {});
    if (this.#process.exitCode === null) {
      await ended;
    }
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #read(stream) {
    let left = '';
    stream.setEncoding('utf8');
    stream.on('data', (data) => {
      const messages = (left + data).split('\0');
      left = messages.pop();
      messages.forEach((message) => this.#take(JSON.parse(message)));
    });
  }

  #take({ id, method, params, sessionId, result, error }) {
    if (id === undefined) {
      this.#listeners.get(`${sessionId} ${method}`)?.(params);
      return;
    }
    const asked = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(asked?.timer);
    if (error) {
      asked?.reject(new Error(`${asked.method}: ${error.message}`));
    } else {
      asked?.resolve(result);
    }
  }

  #ended(why) {
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error(why));
    }
    this.#waiting.clear();
  }
}
