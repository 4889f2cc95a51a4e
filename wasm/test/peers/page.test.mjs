// The page of `make demo`, driven in Chromium.

import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { chromium, programs, start, until } from './harness.mjs'

const LIMIT = { timeout: 120_000 }
const DEMO = path.join(programs, 'demo')

/** The demo as on no terminal; its environment names no port of somebody else's. */
function demo(...flags) {
  const { ONCE, TARGET, PORT, ...env } = process.env
  return start([DEMO, ...flags], { env })
}

async function served(...flags) {
  const child = demo(...flags)
  child.url = await until('the demo names its page', () => child.said.match(/In your browser, with buttons: (http:\S+)/)?.[1])
  return child
}

describe('the page', () => {
  let url, page
  const requests = []
  const complaints = []
  before(async () => {
    url = (await served('--port', '0')).url
    page = await (await chromium()).newPage({ viewport: { width: 1280, height: 900 } })
    page.setDefaultTimeout(20_000)
    page.on('request', (request) => requests.push(request))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(url)
  })

  const number = async (id) => Number((await page.locator(id).textContent()).replace(/\D/g, ''))
  const shares = () =>
    page.evaluate(() =>
      Object.fromEntries([...document.querySelectorAll('.backend')].map((row) =>
        [row.querySelector('.name').textContent, parseFloat(row.querySelector('.percent').textContent)])))
  const row = (name) => page.locator('.backend', { has: page.locator('.name', { hasText: new RegExp(`^${name}$`) }) })

  /** The squares are all newer than this, and come out as expected, in percent. */
  async function become(expected) {
    let seen
    await until(JSON.stringify(expected), async () => {
      seen = await shares()
      return Object.keys(seen).join() === Object.keys(expected).join() &&
        Object.entries(expected).every(([name, share]) => Math.abs(seen[name] - share) <= 2)
    }).catch((error) => assert.fail(`${error.message}, but ${JSON.stringify(seen)}`))
  }

  test('round_robin at first: a third each', LIMIT, async () => {
    await until('210 calls', async () => (await number('#calls')) > 210)
    await become({ small: 33.3, middle: 33.3, large: 33.3 })
    assert.equal(await page.getByRole('radio', { name: 'round_robin' }).isChecked(), true)
  })

  test('pick_first: all go to one', LIMIT, async () => {
    await page.getByRole('radio', { name: 'pick_first' }).check()
    await become({ small: 100, middle: 0, large: 0 })
    await until('its meaning', async () => (await page.locator('#meaning').textContent()).includes('every call takes it'))
  })

  test('weighted: 1:2:4, and what the weights are changed to', LIMIT, async () => {
    assert.equal(await page.getByLabel('Weight of small').isVisible(), false)
    await page.getByRole('radio', { name: 'weighted' }).check()
    await become({ small: 14.3, middle: 28.6, large: 57.1 })
    await page.getByLabel('Weight of small').fill('4')
    await page.getByLabel('Weight of small').press('Enter')
    await become({ small: 40, middle: 20, large: 40 })
    await page.getByLabel('Weight of middle').fill('0')
    await page.getByLabel('Weight of middle').press('Tab')
    await become({ small: 50, middle: 0, large: 50 })
    await page.getByLabel('Weight of middle').fill('-3')
    await page.getByLabel('Weight of middle').press('Tab')
    assert.equal(await page.getByLabel('Weight of middle').inputValue(), '0', 'nonsense is taken back')
  })

  test('a backend is added and retired, and no call fails', LIMIT, async () => {
    await page.getByRole('radio', { name: 'round_robin' }).check()
    await become({ small: 33.3, middle: 33.3, large: 33.3 })
    await page.getByRole('button', { name: 'Add a backend' }).click()
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
    await page.getByRole('button', { name: 'Retire small' }).click()
    await become({ middle: 33.3, large: 33.3, fourth: 33.3 })
    await page.getByRole('button', { name: 'Add a backend' }).click()
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
    assert.equal(await number('#failed'), 0)
  })

  test('one is killed and restarted; only what it had in hand fails', LIMIT, async () => {
    await page.getByRole('button', { name: 'Kill middle' }).click()
    await become({ small: 33.3, middle: 0, large: 33.3, fourth: 33.3 })
    assert.equal(await row('middle').locator('.state').textContent(), 'killed')
    const failed = await number('#failed')
    assert.ok(failed <= 5, `${failed} failed, and five may be under way`)
    await page.getByRole('button', { name: 'Restart middle' }).click()
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
    assert.equal(await number('#failed'), failed)
    assert.match(await page.locator('#log').textContent(), /middle is killed.*/)
    assert.match(await page.locator('#log').textContent(), /middle gets calls/)
  })

  test('all dead: calls fail in words, and go on when one is back', LIMIT, async () => {
    for (const name of ['small', 'middle', 'large', 'fourth']) await page.getByRole('button', { name: `Kill ${name}` }).click()
    await until('told', async () => /calls failed\. UNAVAILABLE/.test(await page.locator('#log').textContent()))
    await page.getByRole('button', { name: 'Restart large' }).click()
    await become({ small: 0, middle: 0, large: 100, fourth: 0 })
    for (const name of ['small', 'middle', 'fourth']) await page.getByRole('button', { name: `Restart ${name}` }).click()
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
  })

  test('other pages, also under a name of their own for this machine, press no button', LIMIT, async () => {
    const { hostname, port } = new URL(url)
    const told = (method, headers) => new Promise((resolve, reject) => {
      const request = http.request({ hostname, port, method, path: method === 'GET' ? '/demo/events' : '/demo/add', headers })
      request.on('response', (response) => resolve(response.statusCode) || request.destroy())
      request.on('error', reject).end()
    })
    const evil = `evil.example:${port}`
    assert.equal(await told('POST', { origin: 'http://evil.example' }), 403)
    assert.equal(await told('POST', { host: evil, origin: `http://${evil}` }), 403)
    assert.equal(await told('GET', { host: evil }), 403)
    for (const host of ['127.0.0.1', 'localhost']) assert.equal(await told('GET', { host: `${host}:${port}` }), 200)
    assert.equal(await page.locator('.backend').count(), 4)
  })

  test('binary or text, as is chosen', LIMIT, async () => {
    const form = (request) => request.url().endsWith('/SayHello') && request.headers()['content-type']
    assert.ok(requests.some((request) => form(request) === 'application/grpc-web+proto'))
    await page.getByRole('radio', { name: 'text' }).check()
    await until('text', () => form(requests.at(-1)) === 'application/grpc-web-text+proto')
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
  })

  test('by keyboard: each control is reached, is seen to be, and works', LIMIT, async () => {
    await page.reload()
    await become({ small: 25, middle: 25, large: 25, fourth: 25 })
    const reached = []
    for (let n = 0; n < 20; n++) {
      await page.keyboard.press('Tab')
      const { name, outline } = await page.evaluate(() => {
        const it = document.activeElement
        const seen = it.matches('.choice input') ? it.nextElementSibling : it
        return { name: it.getAttribute('aria-label') || it.id || it.value || it.textContent, outline: getComputedStyle(seen).outlineStyle }
      })
      if (name.includes('libgrpclb')) break
      reached.push(name)
      assert.notEqual(outline, 'none', `focus on ${name} is not seen`)
    }
    for (const name of ['round_robin', 'rate', 'binary', 'pause', 'Kill large', 'add']) assert.ok(reached.includes(name), `${name} in ${reached}`)

    await page.getByRole('radio', { name: 'round_robin' }).focus()
    await page.keyboard.press('ArrowLeft')
    await become({ small: 100, middle: 0, large: 0, fourth: 0 })
    const rate = page.getByRole('slider', { name: 'Calls a second, wanted' })
    await rate.focus()
    await page.keyboard.press('Home')
    assert.equal(await page.locator('#wanted').textContent(), '1')
    assert.equal(await rate.getAttribute('aria-valuetext'), '1 calls a second')
    await until('one call a second', async () => (await number('#made')) <= 1)
    await page.getByRole('button', { name: 'Pause' }).press('Enter')
    await until('none', async () => (await number('#made')) === 0)
  })

  test('nothing is wider than a small screen, nor than a large one', LIMIT, async () => {
    for (const width of [390, 620, 900, 1280]) {
      await page.setViewportSize({ width, height: 800 })
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `at ${width}`)
    }
  })

  test('nothing comes from elsewhere, and nothing went wrong', LIMIT, async () => {
    const elsewhere = requests.map((request) => request.url()).filter((where) => !where.startsWith(url) && !where.startsWith('data:'))
    assert.deepEqual(elsewhere, [])
    assert.deepEqual(complaints, [])
  })

  test('commands that make no sense are refused in words', LIMIT, async () => {
    const post = (what) => page.evaluate(async (what) => {
      const response = await fetch(`demo/${what}`, { method: 'POST' })
      return `${response.status} ${await response.text()}`
    }, what)
    assert.match(await post('kill?id=77'), /^409 no backend has the id "77"/)
    assert.match(await post('policy?name=random'), /^409 no policy "random"; there are .*round_robin/)
    assert.match(await post('weight?id=0&value=many'), /^409 (a weight is a whole number|no backend)/)
    assert.match(await post('explode'), /^409 nothing is called "explode"/)
  })
})

test('the demo ends, and is started again: the page says so, and goes on', LIMIT, async () => {
  const first = await served('--port', '0')
  const page = await (await chromium()).newPage()
  const calls = async () => Number((await page.locator('#calls').textContent()).replace(/\D/g, ''))
  await page.goto(first.url)
  await until('calls', async () => (await calls()) > 20)
  await first.kill9()
  await until('told', async () => /The demo has ended/.test(await page.getByRole('alert').textContent()))
  await until('it goes on calling nobody', async () => {
    const made = await calls()
    await page.waitForTimeout(500) // figures are written four times a second
    return made === (await calls())
  })
  await served('--port', new URL(first.url).port)
  await until('it goes on', async () => (await page.getByRole('alert').count()) === 0 && (await calls()) > 20)
  assert.match(await page.locator('.percent').first().textContent(), /3\d\.\d %/)
})

describe('no page', () => {
  test('a taken port is told, and the story goes on', LIMIT, async () => {
    const first = await served('--port', '0')
    const { port } = new URL(first.url)
    const second = demo('--port', port)
    await until('the story', () => second.said.includes('1. pick_first'))
    assert.match(second.said, new RegExp(`No page for your browser: port ${port}: .*in use.*PORT=N takes another`, 's'))
  })

  test('not built: it says how to', LIMIT, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'grpclb-demo-'))
    const copy = path.join(folder, 'demo')
    copyFileSync(DEMO, copy)
    const child = start([copy], { env: { PATH: process.env.PATH } })
    await until('the story', () => child.said.includes('1. pick_first'))
    rmSync(folder, { recursive: true })
    assert.match(child.said, /In your browser, with buttons: make wasm, then make demo again/)
  })

  test('quick and checked: no port', LIMIT, async () => {
    const child = demo('--once')
    await until('the story', () => child.said.includes('1. pick_first'))
    assert.doesNotMatch(child.said, /browser/)
  })
})
