// Buttons and figures. The demo tells by events who its backends are; what they do, the page sees by its own calls.

import { BUCKET_MS, Caller, quantile } from './calls.js'
import * as draw from './draw.js'

const byId = (id) => document.getElementById(id)
const MEANING = {
  pick_first: 'One connection, to the first backend that answers; every call takes it while the others idle. gRPC’s default.',
  round_robin: 'Each backend in turn gets one call: equal shares, whatever a backend can do. At a high rate the small one makes the calls wait.',
  weighted_round_robin: 'Shares follow the weights, to the call. 1, 2 and 4 are what these three can do; 0 means no calls.',
}
const NAMES = { pick_first: 'pick_first', round_robin: 'round_robin', weighted_round_robin: 'weighted' }

let stage = { policy: '', backends: [] }
/** Everybody ever seen, by address: who has left is still in the pictures. */
const known = new Map()
/** What is marked in the chart: {number of the bucket, text}. */
const marks = []
/** Whose first call is waited for: address -> when it came. */
const awaited = new Map()
let colour = draw.colours()
const colourOf = (peer) => (known.has(peer) ? colour(`b${known.get(peer).slot}`) : colour('soft'))

// ---- calls -----------------------------------------------------------------------------------

const caller = new Caller('binary')
caller.onCall = (call, error) => {
  if (error) failure(error)
  else if (awaited.has(call.peer)) {
    const took = performance.now() - awaited.get(call.peer)
    awaited.delete(call.peer)
    log(`${known.get(call.peer)?.name ?? call.peer} gets calls, ${seconds(took)} later`)
  }
}

/** Failures of one run are one line, which counts on. */
const failures = { count: 0, text: '', last: 0, line: undefined, timer: undefined }
function failure(error) {
  const now = performance.now()
  if (now - failures.last > 2000) Object.assign(failures, { count: 0, line: undefined })
  failures.count += 1
  failures.last = now
  failures.text = error.codeName ? `${error.codeName}: ${error.message}` : String(error)
  failures.timer ??= setTimeout(() => {
    const text = `${failures.count === 1 ? 'One call' : `${whole(failures.count)} calls`} failed. ${failures.text}`
    if (failures.line) failures.line.querySelector('span').textContent = text
    else failures.line = log(text, 'bad')
    failures.timer = undefined
  }, 700)
}

// ---- words -----------------------------------------------------------------------------------

const seconds = (ms) => (ms < 950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)
const time = (ms) => (ms === undefined ? '–' : ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)
const whole = (n) => Math.round(n).toLocaleString('en').replaceAll(',', '\u202f')

function log(text, kind = '') {
  const line = document.createElement('li')
  line.className = kind
  const at = document.createElement('time')
  at.textContent = new Date().toTimeString().slice(0, 8)
  const words = document.createElement('span')
  words.textContent = text
  line.append(at, words)
  byId('log').querySelector('.hint')?.remove()
  byId('log').prepend(line)
  while (byId('log').children.length > 30) byId('log').lastChild.remove()
  return line
}

function mark(text) {
  marks.push({ number: caller.bucket().number, text })
  if (marks.length > 40) marks.shift()
}

let fault
/** Something is wrong with the page itself; said until it is well again. */
function trouble(text) {
  if (text && fault) return
  fault?.remove()
  fault = undefined
  if (!text) return
  fault = document.createElement('p')
  fault.className = 'fault'
  fault.setAttribute('role', 'alert')
  fault.textContent = text
  document.querySelector('main').prepend(fault)
}

// ---- the demo's side -------------------------------------------------------------------------

const events = new EventSource('demo/events')
events.onmessage = ({ data }) => {
  const next = JSON.parse(data)
  if (stage.demo && next.demo !== stage.demo) return location.reload() // another run of it
  caller.held = false
  trouble()
  show(next)
}
events.onerror = () => {
  caller.held = true
  trouble('The demo has ended, or cannot be reached. Start it again with make demo; this page goes on by itself.')
}

/** Asks the demo to do something; what changes comes back as an event. */
async function command(what, parameters = {}) {
  try {
    const response = await fetch(`demo/${what}?${new URLSearchParams(parameters)}`, { method: 'POST' })
    if (response.ok) return
    log((await response.text()).trim(), 'bad')
    checkPolicy(stage.policy)
  } catch {
    // The event source says it.
  }
}

/** Takes in what the demo says, and tells what is new of it. */
function show(next) {
  const first = stage.policy === ''
  const before = new Map(stage.backends.map((backend) => [backend.id, backend]))
  for (const backend of next.backends) known.set(backend.address, backend)
  if (!first) {
    if (next.policy !== stage.policy) say(`The policy is ${next.policy} now.`, NAMES[next.policy])
    for (const { id, name, address, state, weight } of next.backends) {
      const was = before.get(id)
      if (!was || (was.state === 'killed' && state === 'serving')) {
        awaited.set(address, performance.now())
        say(was ? `${name} is restarted.` : `${name} is added.`, `${was ? '' : '+ '}${name}`)
      } else if (was.state !== state) say(`${name} is killed: no goodbye, its sockets just close.`, `${name} killed`)
      else if (was.weight !== weight) say(`${name} has the weight ${weight}.`)
      before.delete(id)
    }
    for (const { id, name } of stage.backends) {
      if (before.has(id)) say(`${name} is retired: it finishes its calls and takes no new ones.`, `${name} retired`)
    }
  }
  // What the user has just chosen is not taken back by an event that was sent before.
  if (next.policy !== stage.policy) checkPolicy(next.policy)
  stage = next
  rows()
  byId('meaning').textContent = MEANING[stage.policy] ?? ''
  document.body.classList.toggle('weighted', stage.policy === 'weighted_round_robin')
  byId('add').disabled = stage.backends.length >= stage.most
}

function checkPolicy(policy) {
  for (const input of document.querySelectorAll('#policy input')) input.checked = input.value === policy
}

function say(text, short) {
  log(text)
  if (short) mark(short)
}

// ---- backends --------------------------------------------------------------------------------

/** One row a backend; rows that stay are kept, so that the focus stays where it is. */
function rows() {
  const list = byId('backends')
  for (const row of [...list.children]) {
    if (!stage.backends.some(({ id }) => String(id) === row.dataset.id)) row.remove()
  }
  for (const [at, backend] of stage.backends.entries()) {
    let row = list.querySelector(`[data-id="${backend.id}"]`)
    // Rows never change places: a new one goes where it belongs, between those that are there.
    if (!row) list.insertBefore((row = newRow(backend)), list.children[at])
    const killed = backend.state === 'killed'
    row.classList.toggle('killed', killed)
    row.querySelector('.state').textContent = killed ? 'killed' : `${backend.capacity}/s`
    row.querySelector('.kill').textContent = killed ? 'Restart' : 'Kill'
    row.querySelector('.kill').setAttribute('aria-label', `${killed ? 'Restart' : 'Kill'} ${backend.name}`)
    row.querySelector('.retire').disabled = stage.backends.length < 2
    const weight = row.querySelector('.weight input')
    if (row.dataset.weight !== String(backend.weight)) weight.value = row.dataset.weight = backend.weight
  }
}

function newRow({ id, name, address }) {
  const row = byId('backend').content.cloneNode(true).querySelector('li')
  row.dataset.id = id
  row.dataset.address = address
  row.querySelector('.name').textContent = name
  row.querySelector('.address').textContent = address
  row.querySelector('.weight input').setAttribute('aria-label', `Weight of ${name}`)
  row.querySelector('.retire').setAttribute('aria-label', `Retire ${name}`)
  row.querySelector('.retire').onclick = () => command('retire', { id })
  row.querySelector('.kill').onclick = () => command(row.classList.contains('killed') ? 'start' : 'kill', { id })
  row.querySelector('.weight input').onchange = ({ target }) => {
    if (target.validity.valid && target.value !== '') command('weight', { id, value: target.value })
    else target.value = stage.backends.find((backend) => backend.id === id)?.weight ?? 1
  }
  return row
}

// ---- controls --------------------------------------------------------------------------------

byId('policy').onchange = ({ target }) => command('policy', { name: target.value })
byId('format').onchange = ({ target }) => {
  caller.format(target.value)
  log(`Calls are sent as gRPC-Web ${target.value} from now on.`)
}
byId('add').onclick = () => command('add')
byId('pause').onclick = ({ target }) => {
  caller.paused = !caller.paused
  target.setAttribute('aria-pressed', caller.paused)
  target.textContent = caller.paused ? 'Go on' : 'Pause'
}
/** 1 to 500 calls a second, finer where they are few. */
const toRate = (position) => Math.round(500 ** (position / 100))
function rate() {
  caller.rate = toRate(byId('rate').value)
  byId('wanted').textContent = caller.rate
  byId('rate').setAttribute('aria-valuetext', `${caller.rate} calls a second`)
}
byId('rate').value = 74
byId('rate').oninput = rate
rate()

// ---- figures and pictures --------------------------------------------------------------------

function figures() {
  const all = caller.figures()
  byId('made').textContent = whole(caller.speed())
  byId('calls').textContent = whole(caller.calls)
  byId('failed').textContent = whole(caller.failed)
  byId('failed').classList.toggle('some', all.failed > 0)
  byId('p50').textContent = time(quantile(all.times, 0.5))
  byId('p99').textContent = time(quantile(all.times, 0.99))
  for (const row of byId('backends').children) {
    const { address } = row.dataset
    const { share, failed, times } = caller.figures(address)
    row.querySelector('.swatch').style.background = colourOf(address)
    row.querySelector('.bar i').style.background = colourOf(address)
    row.querySelector('.bar i').style.width = `${share * 100}%`
    row.querySelector('.percent').textContent = `${(share * 100).toFixed(1)} %`
    row.querySelector('.speed').textContent = whole(caller.speed(address))
    row.querySelector('.half').textContent = time(quantile(times, 0.5))
    row.querySelector('.errors').textContent = failed
    row.querySelector('.errors').classList.toggle('some', failed > 0)
  }
}

function pictures() {
  draw.squares(byId('squares'), caller.recent, colourOf, colour)
  caller.bucket()
  draw.chart(byId('chart'), caller.buckets, [...known.keys()], marks, colourOf, colour)
}

matchMedia('(prefers-color-scheme: dark)').onchange = () => (colour = draw.colours())
const calm = matchMedia('(prefers-reduced-motion: reduce)')
let drawn = 0
function frame(now) {
  if (now - drawn >= (calm.matches ? 1000 : BUCKET_MS / 5)) {
    drawn = now
    pictures()
  }
  requestAnimationFrame(frame)
}
requestAnimationFrame(frame)
setInterval(figures, BUCKET_MS)
