// Starts the servers that web clients are tried with, and a Chromium; all of them end with the tests.
//
//     .ci/setup-web-peers.sh && node --test wasm/test/peers/

import { execFileSync, spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { createServer, connect } from 'node:net'
import http from 'node:http'
import path from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const here = path.dirname(fileURLToPath(import.meta.url))
export const top = path.resolve(here, '../../..')
const target = process.env.CARGO_TARGET_DIR ?? path.join(top, 'target')
export const programs = path.join(target, 'release/examples')

/** What is done when all tests of the file are over; a hook of its own would belong to the hook that starts it. */
const ends = []
after(async () => {
  const broken = (await Promise.allSettled(ends.map((end) => end()))).filter(({ status }) => status === 'rejected')
  if (broken.length) throw broken[0].reason
})

/** Should the tests themselves break off. */
const children = []
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** What a set-up script names: the place of a tool. */
export function tool(name) {
  return execFileSync(path.join(top, '.ci', `setup-${name}.sh`), { encoding: 'utf8' }).trim()
}

/** Tries until something truthy comes back. */
export async function until(what, condition, seconds = 20) {
  const ends = performance.now() + seconds * 1000
  for (;;) {
    const found = await condition()
    if (found) return found
    if (performance.now() > ends) throw new Error(`${what}: not within ${seconds} s`)
    await sleep(10)
  }
}

export async function freePort() {
  const probe = createServer()
  await new Promise((ready) => probe.listen(0, '127.0.0.1', ready))
  const { port } = probe.address()
  await new Promise((closed) => probe.close(closed))
  return port
}

/** Starts a program; `said` grows with what it writes. It is killed when the tests are over. */
export function start(argv, options = {}) {
  const child = spawn(argv[0], argv.slice(1), { cwd: top, stdio: ['ignore', 'pipe', 'pipe'], ...options })
  child.said = ''
  for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding('utf8').on('data', (text) => (child.said += text))
  child.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)))
  child.on('error', (error) => (child.said += error))
  child.kill9 = async () => {
    child.kill('SIGKILL')
    await child.ended
    if (child.said.includes('panicked')) throw new Error(`${argv.join(' ')} panicked:\n${child.said}`)
  }
  ends.push(child.kill9)
  children.push(child)
  return child
}

function running(child) {
  if (child.exitCode === null && child.signalCode === null) return
  throw new Error(`${child.spawnargs.join(' ')} ended with ${child.exitCode ?? child.signalCode}:\n${child.said}`)
}

/** Starts a program that says `listening on HOST:PORT` and gives it with its `address`. */
export async function listening(argv, options) {
  const child = start(argv, options)
  child.address = await until(`${argv.join(' ')} listens`, () => {
    const found = child.said.match(/listening on (?:http:\/\/)?([\d.]+:\d+)/)?.[1]
    if (!found) running(child)
    return found
  })
  return child
}

export const grpcio = () => listening([tool('python'), path.join(top, 'ffi/tests/peers/grpcio_web.py')])
export const tonicWeb = () => listening([path.join(target, 'debug/examples/tonic_web_server')])

/** Our gateway before gRPC servers, none of which is missing when the first call comes. */
export function gateway(backends, config, ...flags) {
  return listening([path.join(programs, 'gateway'), '--listen', '127.0.0.1:0', '--target', `ipv4:${backends.join()}`,
    '--wait-ready', String(backends.length), ...(config ? ['--service-config', JSON.stringify(config)] : []), ...flags])
}

/** Envoy with its filters grpc_web and cors before a gRPC server. */
export async function envoy(backend) {
  const port = await freePort()
  const type = (name) => ({ '@type': `type.googleapis.com/envoy.${name}` })
  const socket = (address, port) => ({ socket_address: { address, port_value: Number(port) } })
  const filter = (name, proto) => ({ name: `envoy.filters.http.${name}`, typed_config: type(`extensions.filters.http.${proto}`) })
  const cors = {
    ...type('extensions.filters.http.cors.v3.CorsPolicy'),
    allow_origin_string_match: [{ safe_regex: { regex: '.*' } }],
    allow_methods: 'POST',
    allow_headers: 'content-type,x-grpc-web,x-user-agent,grpc-timeout,x-echo',
    expose_headers: 'grpc-status,grpc-message,grpc-status-details-bin,x-echo,x-why',
  }
  const manager = {
    ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'web',
    stream_idle_timeout: '0s',
    route_config: {
      virtual_hosts: [{
        name: 'all',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, route: { cluster: 'backend', timeout: '0s' } }],
        typed_per_filter_config: { 'envoy.filters.http.cors': cors },
      }],
    },
    http_filters: [filter('grpc_web', 'grpc_web.v3.GrpcWeb'), filter('cors', 'cors.v3.Cors'), filter('router', 'router.v3.Router')],
  }
  const config = {
    static_resources: {
      listeners: [{
        name: 'web',
        address: socket('127.0.0.1', port),
        filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
      }],
      clusters: [{
        name: 'backend',
        connect_timeout: '5s',
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            ...type('extensions.upstreams.http.v3.HttpProtocolOptions'),
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
        load_assignment: {
          cluster_name: 'backend',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(...backend.split(':')) } }] }],
        },
      }],
    },
  }
  const child = start([tool('envoy'), '--config-yaml', JSON.stringify(config), '--concurrency', '1',
    '--disable-hot-restart', '--log-level', 'warn'])
  await until('Envoy listens', () => running(child) ?? answers(port))
  child.address = `127.0.0.1:${port}`
  return child
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

const TYPES = { '.html': 'text/html', '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' }

/** Serves a page at `/` and folders by their prefix: another origin than the servers that are called. */
export async function site(html, folders, headers = {}) {
  const server = http.createServer((request, response) => {
    const where = new URL(request.url, 'http://x').pathname
    if (where === '/') return response.writeHead(200, { 'content-type': 'text/html', ...headers }).end(html)
    const prefix = Object.keys(folders).find((prefix) => where.startsWith(prefix))
    if (!prefix) return response.writeHead(404).end()
    const file = path.join(folders[prefix], path.posix.normalize(where.slice(prefix.length)))
    createReadStream(file)
      .once('error', () => response.writeHead(404).end())
      .once('open', () => response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' }))
      .pipe(response)
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  ends.push(() => (server.closeAllConnections(), server.close()))
  return `http://127.0.0.1:${server.address().port}`
}

/** Debian's Chromium, driven by playwright-core. */
export async function chromium() {
  const { chromium } = await import('playwright-core')
  const browser = await chromium.launch({
    executablePath: tool('chromium'),
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  ends.push(() => browser.close())
  return browser
}
