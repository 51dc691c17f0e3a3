// Serves the preview on loopback: the built page, Grafana's icons, the dashboards, and the Prometheus that they ask.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, extname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' };
const ICONS = join(HERE, 'node_modules/@grafana/ui/dist/public');
// Some icons of Grafana are not in its packages: these are drawn for the preview, and any other is blank.
const MISSING_ICONS = { 'angle-double-left.svg': 'M11.7 17.7 6 12l5.7-5.7L13 7.6 8.7 12l4.3 4.4zM17.7 17.7 12 12l5.7-5.7L19 7.6 14.7 12l4.3 4.4z' };

/** Resolves to the server and its address. `dashboards` is a directory, `prometheus` an address. */
export async function serve({ dashboards, prometheus, port = 0 }) {
  const roots = [
    ['/dashboards/', resolve(dashboards)],
    ['/build/', ICONS],
    ['/', join(HERE, 'dist')],
  ];
  const server = createServer(async (request, response) => {
    try {
      const { pathname, search } = new URL(request.url, 'http://localhost');
      if (pathname.startsWith('/prometheus/api/v1/')) {
        const { method, headers } = request;
        const form = method === 'POST' && { body: Buffer.concat(await request.toArray()), headers: { 'Content-Type': headers['content-type'] } };
        const answer = await fetch(prometheus.replace(/\/$/, '') + pathname.slice('/prometheus'.length) + search, { method, ...form });
        response.writeHead(answer.status, { 'Content-Type': answer.headers.get('Content-Type') ?? 'text/plain' });
        response.end(Buffer.from(await answer.arrayBuffer()));
        return;
      }
      const [prefix, root] = roots.find(([prefix]) => pathname.startsWith(prefix));
      await sendFile(response, root, decodeURIComponent(pathname.slice(prefix.length)) || 'index.html');
    } catch (error) {
      response.writeHead(502, { 'Content-Type': 'text/plain' });
      response.end(String(error.cause ?? error));
    }
  });
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
  return { server, address: `http://127.0.0.1:${server.address().port}` };
}

async function sendFile(response, root, name) {
  const file = normalize(join(root, name));
  const found = file.startsWith(root) && (await stat(file).catch(() => undefined))?.isFile();
  const isIcon = extname(file) === '.svg';
  // The fonts are not in the packages either, and the page does without.
  const absent = isIcon ? 200 : name.startsWith('fonts/') ? 204 : 404;
  response.writeHead(found ? 200 : absent, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' });
  if (found) {
    createReadStream(file).pipe(response);
  } else {
    response.end(isIcon ? `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="${MISSING_ICONS[basename(file)] ?? ''}"/></svg>` : '');
  }
}

