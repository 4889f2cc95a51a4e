// Our package calls Envoy, tonic-web and our gateway; the official gRPC-Web runtime and connect-web call our gateway. In
// Node and in Chromium, binary and text.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import xhr2 from 'xhr2'
import { CASES } from './cases.mjs'
import * as clients from './clients.mjs'
import { chromium, envoy, gateway, grpcio, here, site, tonicWeb, tool, top } from './harness.mjs'

globalThis.XMLHttpRequest = xhr2 // Node has none

const SERVERS = {
  'our gateway': async () => gateway([(await grpcio()).address]),
  Envoy: async () => envoy((await grpcio()).address),
  'tonic-web': tonicWeb,
}

// What the clients cannot do, for themselves.
const LEFT_LOOP = 'a loop that is left cancels its call' // connect-web reads on
const MID_STREAM = ['server streaming as it arrives', LEFT_LOOP, 'cancelled in mid-stream, and the server sees it',
  'deadline of a stream', 'error status with details after a message'] // grpc-web has nothing before the end, but for text in browsers
const CLIENTS = [
  { name: 'grpclb', format: 'binary', node: [], chromium: [] },
  { name: 'grpclb', format: 'text', node: [], chromium: [] },
  { name: 'connectWeb', format: 'binary', node: [LEFT_LOOP], chromium: [LEFT_LOOP] },
  { name: 'grpcWeb', format: 'binary', node: MID_STREAM, chromium: MID_STREAM },
  { name: 'grpcWeb', format: 'text', node: MID_STREAM, chromium: [] },
]
// Others' clients before others' servers: only to see that the cases ask for nothing that these cannot. tonic-web answers
// CANCELLED when a deadline has passed, which grpc-web believes.
const pairs = (server) => CLIENTS.filter(({ name }) => name === 'grpclb' || server !== 'tonic-web')

/** web.proto as protoc describes it. */
function describeProto() {
  const folder = mkdtempSync(path.join(tmpdir(), 'grpclb-web-'))
  const out = path.join(folder, 'web.bin')
  const protos = path.join(top, 'ffi/tests/peers')
  execFileSync(tool('python'), ['-m', 'grpc_tools.protoc', `-I${protos}`, '--include_imports', `--descriptor_set_out=${out}`, 'web.proto'])
  const descriptors = readFileSync(out)
  rmSync(folder, { recursive: true })
  return descriptors
}

const descriptors = describeProto()

async function inNode(name, base, format, what) {
  await CASES[what](await clients[name](base, format, descriptors))
}

/** A page without a bundler: its modules are the packages' own, by an import map. */
async function pageInChromium() {
  const modules = path.join(here, 'node_modules')
  const esm = (name) => `/modules/${name}/dist/esm`
  const imports = {
    grpclb: '/grpclb/index.js',
    'grpc-web': '/modules/grpc-web/index.esm.js',
    '@bufbuild/protobuf': `${esm('@bufbuild/protobuf')}/index.js`,
    '@bufbuild/protobuf/wkt': `${esm('@bufbuild/protobuf')}/wkt/index.js`,
    '@bufbuild/protobuf/codegenv2': `${esm('@bufbuild/protobuf')}/codegenv2/index.js`,
    '@bufbuild/protobuf/reflect': `${esm('@bufbuild/protobuf')}/reflect/index.js`,
    '@bufbuild/protobuf/wire': `${esm('@bufbuild/protobuf')}/wire/index.js`,
    '@connectrpc/connect': `${esm('@connectrpc/connect')}/index.js`,
    '@connectrpc/connect/protocol': `${esm('@connectrpc/connect')}/protocol/index.js`,
    '@connectrpc/connect/protocol-connect': `${esm('@connectrpc/connect')}/protocol-connect/index.js`,
    '@connectrpc/connect/protocol-grpc-web': `${esm('@connectrpc/connect')}/protocol-grpc-web/index.js`,
    '@connectrpc/connect-web': `${esm('@connectrpc/connect-web')}/index.js`,
  }
  const html = `<!doctype html><title>peers</title><script type="importmap">${JSON.stringify({ imports })}</script>`
  const url = await site(html, { '/modules/': modules, '/test/': here, '/grpclb/': path.join(top, 'target/wasm/pkg') })
  const page = await (await chromium()).newPage()
  await page.goto(url)
  return page
}

for (const [server, started] of Object.entries(SERVERS)) {
  describe(server, () => {
    let base, page
    before(async () => {
      base = `http://${(await started()).address}`
      page = await pageInChromium()
    })
    const inChromium = (name, base, format, what) =>
      page.evaluate(
        async ({ name, base, format, what, descriptors }) => {
          const [{ CASES }, clients] = [await import('/test/cases.mjs'), await import('/test/clients.mjs')]
          await CASES[what](await clients[name](base, format, new Uint8Array(descriptors)))
        },
        { name, base, format, what, descriptors: [...descriptors] },
      )
    for (const client of pairs(server)) {
      for (const [place, run] of Object.entries({ node: inNode, chromium: inChromium })) {
        for (const what of Object.keys(CASES).filter((what) => !client[place].includes(what))) {
          test(`${client.name}, ${client.format}, ${place}: ${what}`, { timeout: 30_000 }, () => run(client.name, base, client.format, what))
        }
      }
    }
  })
}
