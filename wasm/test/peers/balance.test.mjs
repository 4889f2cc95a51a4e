// 3 000 calls from Node and from Chromium through our gateway over three grpcio servers; and how the package loads in a page.

import assert from 'node:assert/strict'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { chromium, gateway, grpcio, here, site, top } from './harness.mjs'
import { callMany } from './many.mjs'

const LIMIT = { timeout: 120_000 }
const PACKAGE = path.join(top, 'target/wasm/pkg')
const IMPORT_MAP = '<script type="importmap">{"imports":{"grpclb":"/grpclb/index.js"}}</script>'

let backends, page
before(async () => {
  backends = (await Promise.all([grpcio(), grpcio(), grpcio()])).map(({ address }) => address)
  page = await (await chromium()).newPage()
  await page.goto(await site(`<!doctype html><title>calls</title>${IMPORT_MAP}`, { '/grpclb/': PACKAGE, '/test/': here }))
})

const PLACES = {
  Node: async (...words) => callMany(await import(path.join(PACKAGE, 'index.js')), ...words),
  Chromium: (...words) =>
    page.evaluate(async (words) => {
      const [lib, { callMany }] = [await import('grpclb'), await import('/test/many.mjs')]
      return callMany(lib, ...words)
    }, words),
}

describe('round_robin', () => {
  let base
  before(async () => (base = `http://${(await gateway(backends, { loadBalancingPolicy: 'round_robin' })).address}`))
  for (const [place, format, atOnce] of [['Node', 'binary', 1], ['Node', 'text', 6], ['Chromium', 'binary', 6], ['Chromium', 'text', 6]]) {
    test(`${place}, ${format}, ${atOnce} at once: 1 000 each`, LIMIT, async () => {
      const peers = await PLACES[place]([base], format, 3000, atOnce)
      assert.deepEqual(peers, Object.fromEntries(backends.map((backend) => [backend, 1000])))
    })
  }
})

describe('weights 1:2:4', () => {
  let base
  before(async () => {
    const weights = Object.fromEntries(backends.map((backend, n) => [backend, 2 ** n]))
    base = `http://${(await gateway(backends, { loadBalancingConfig: [{ weighted_round_robin: { weights } }] })).address}`
  })
  for (const [place, run] of Object.entries(PLACES)) {
    for (const format of ['binary', 'text']) {
      test(`${place}, ${format}: within 6 of the share`, LIMIT, async () => {
        const peers = await run([base], format, 1400, 4)
        for (const [n, share] of [200, 400, 800].entries()) {
          assert.ok(Math.abs(peers[backends[n]] - share) <= 6, JSON.stringify(peers))
        }
      })
    }
  }
})

describe('the package itself balances over gateways', () => {
  // Each gateway before one backend of its own: who picks is the page.
  let bases
  before(async () => (bases = await Promise.all(backends.map(async (backend) => `http://${(await gateway([backend])).address}`))))
  for (const [place, run] of Object.entries(PLACES)) {
    test(`${place}: round_robin over three of them`, LIMIT, async () => {
      const peers = await run(bases, 'binary', 3000, 6, '{"loadBalancingPolicy":"round_robin"}')
      assert.deepEqual(Object.keys(peers).sort(), [...backends].sort())
      for (const calls of Object.values(peers)) assert.ok(Math.abs(calls - 1000) <= 6, JSON.stringify(peers))
    })
  }
})

describe('in a page', () => {
  async function open(policy, html) {
    const page = await (await chromium()).newPage()
    const headers = policy ? { 'content-security-policy': policy } : {}
    await page.goto(await site(html ?? '<!doctype html><title>policy</title>', { '/grpclb/': PACKAGE, '/test/': here }, headers))
    return page
  }
  const load = (page) =>
    page.evaluate(() => import('/grpclb/index.js').then((lib) => Object.keys(lib).sort().join(), (error) => `${error.name}: ${error.message}`))

  test('a content security policy with wasm-unsafe-eval is enough', LIMIT, async () => {
    const page = await open("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'")
    assert.match(await load(page), /GrpcWebChannel/)
  })

  test('without it, the error names what is missing', LIMIT, async () => {
    const page = await open("default-src 'none'; script-src 'self'; connect-src 'self'")
    assert.match(await load(page), /^Error: grpclb: .* script-src needs 'wasm-unsafe-eval'$/)
  })

  test('the gateway serves page and package (--static)', LIMIT, async () => {
    const child = await gateway(backends, { loadBalancingPolicy: 'round_robin' }, '--static', PACKAGE)
    const page = await (await chromium()).newPage()
    await page.goto(`http://${child.address}/package.json`)
    const answer = await page.evaluate(async () => {
      const { GrpcWebChannel } = await import('/index.js')
      const channel = new GrpcWebChannel({ endpoints: [location.origin] })
      const { message } = await channel.unary('/helloworld.Greeter/SayHello', new Uint8Array([10, 4, 112, 97, 103, 101]))
      return new TextDecoder().decode(message.subarray(2))
    })
    assert.match(answer, /^Hello page from ipv4:/)
  })
})
