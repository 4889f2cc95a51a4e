// A server of hand-made bytes: what each test wants to see of the client, it writes here octet by octet.

import http from 'node:http';
import { after } from 'node:test';

export const OK = 'grpc-status:0\r\n';

/** A frame: flag, length, payload (text or octets). */
export function frame(flag, payload) {
  const octets = Buffer.from(payload);
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(octets.length, 1);
  return Buffer.concat([head, octets]);
}

export const message = (payload) => frame(0, payload);
export const trailers = (text = OK) => frame(0x80, text);

/**
 * Answers POSTs with `answer(request, response, body)`; probes (HEAD) with 404. Gives
 * `{ url, requests, close }`; it is closed when the tests are over.
 */
export async function serve(answer, port = 0) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method === 'HEAD') return response.writeHead(404).end();
      const body = Buffer.concat(chunks);
      requests.push({ url: request.url, method: request.method, headers: request.headers, body });
      return answer(request, response, body);
    });
    request.on('error', () => {});
  });
  await new Promise((listens) => server.listen(port, '127.0.0.1', listens));
  const close = () =>
    new Promise((closed) => {
      server.close(closed);
      server.closeAllConnections();
    });
  after(close);
  return { url: `http://127.0.0.1:${server.address().port}`, requests, close };
}

/** Answers with these octets, `cut` of them at a time. */
export function answers(octets, { type = 'application/grpc-web+proto', headers = {}, status = 200, cut = Infinity } = {}) {
  return async (_, response) => {
    response.writeHead(status, type ? { 'content-type': type, ...headers } : headers);
    response.flushHeaders();
    const body = Buffer.isBuffer(octets) ? octets : Buffer.from(octets);
    for (let at = 0; at < body.length; at += cut) {
      response.write(body.subarray(at, at + cut));
      if (cut !== Infinity) await new Promise(setImmediate);
    }
    response.end();
  };
}

/** Echoes the messages of the request, in the form that is asked for. */
export function echo({ times = 1, fields = OK, name } = {}) {
  return (request, response, body) => {
    const text = request.headers['content-type'].startsWith('application/grpc-web-text');
    const frames = text ? Buffer.from(body.toString('latin1'), 'base64') : body;
    const form = request.headers.accept;
    const put = (octets) => (form.endsWith('-text') ? octets.toString('base64') : octets);
    response.writeHead(200, { 'content-type': `${form}+proto`, ...(name ? { 'x-name': name } : {}) });
    for (let i = 0; i < times; i++) response.write(put(frames));
    response.end(put(trailers(fields)));
  };
}

/** A fetch that is not a network: `response(url, init)` gives the Response, or throws. */
export const chunked = (chunks, init) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new Uint8Array(chunk));
        controller.close();
      },
    }),
    init,
  );

export async function collect(stream) {
  const messages = [];
  for await (const one of stream) messages.push(Buffer.from(one).toString('latin1'));
  return messages;
}
