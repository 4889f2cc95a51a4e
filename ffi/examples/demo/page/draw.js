// The two pictures: a square a call, and calls a second.

import { BUCKET_MS, BUCKETS, SQUARES } from './calls.js'

/** Makes a canvas as fine as the screen; gives its context and size in CSS pixels. */
function prepare(canvas, height) {
  const scale = window.devicePixelRatio || 1
  const width = canvas.clientWidth
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)]
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w
    canvas.height = h
    canvas.style.height = `${height}px`
  }
  const context = canvas.getContext('2d')
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)
  return { context, width, height }
}

/** `colour(name)` of the style sheet, looked up anew when light turns dark. */
export function colours() {
  let style = getComputedStyle(document.documentElement)
  return (name) => style.getPropertyValue(`--${name}`).trim()
}

/** Rows from left to right as text is read; who has no call yet is an empty square. */
export function squares(canvas, recent, colourOf, colour) {
  const width = canvas.clientWidth
  const columns = width > 620 ? 42 : width > 420 ? 30 : 21 // all of them divide 210, and are whole rounds of three
  const gap = width > 560 ? 4 : 3
  const size = (width - gap * (columns - 1)) / columns
  const rows = SQUARES / columns
  const { context } = prepare(canvas, rows * size + (rows - 1) * gap)
  const radius = Math.min(4, size / 4)
  for (let n = 0; n < SQUARES; n++) {
    const call = recent[n]
    const [x, y] = [(n % columns) * (size + gap), Math.floor(n / columns) * (size + gap)]
    context.beginPath()
    context.roundRect(x, y, size, size, radius)
    if (call && !call.ok) {
      context.fillStyle = colour('bad-ground')
      context.fill()
      context.strokeStyle = colour('bad')
      context.lineWidth = Math.max(1.5, size / 9)
      context.beginPath()
      const inset = size * 0.3
      context.moveTo(x + inset, y + inset)
      context.lineTo(x + size - inset, y + size - inset)
      context.moveTo(x + size - inset, y + inset)
      context.lineTo(x + inset, y + size - inset)
      context.stroke()
    } else {
      context.fillStyle = call ? colourOf(call.peer) : colour('empty')
      context.fill()
    }
  }
}

const SECOND = 1000 / BUCKET_MS

/** Stacked by backend in their order; marks {number, text} are upright lines. */
export function chart(canvas, buckets, order, marks, colourOf, colour) {
  const { context, width, height } = prepare(canvas, canvas.clientWidth > 480 ? 214 : 170)
  const font = `12px ${getComputedStyle(document.body).fontFamily}`
  const [left, right, top, bottom] = [38, 4, 34, 20]
  // The newest bucket is still being filled.
  const shown = buckets.slice(0, -1)
  const total = (bucket) => [...bucket.served.values()].reduce((sum, n) => sum + n, bucket.failed) * SECOND
  const most = Math.max(20, ...shown.map(total))
  const step = [5, 10, 20, 25, 50, 100, 200, 250, 500].find((step) => most / step <= 4) ?? 1000
  const high = Math.ceil(most / step) * step
  const y = (value) => height - bottom - (value / high) * (height - top - bottom)
  const newest = shown.at(-1)?.number ?? 0
  const x = (number) => width - right - ((newest - number) / (BUCKETS - 1)) * (width - left - right)

  context.font = font
  context.textBaseline = 'middle'
  context.lineWidth = 1
  for (let value = 0; value <= high; value += step) {
    context.strokeStyle = colour('line')
    context.beginPath()
    context.moveTo(left, Math.round(y(value)) + 0.5)
    context.lineTo(width - right, Math.round(y(value)) + 0.5)
    context.stroke()
    context.fillStyle = colour('soft')
    context.textAlign = 'right'
    context.fillText(String(value), left - 8, y(value))
  }
  context.textBaseline = 'bottom'
  for (const seconds of [30, 20, 10, 0]) {
    context.textAlign = seconds === 30 ? 'left' : seconds === 0 ? 'right' : 'center'
    context.fillText(seconds ? `${seconds} s ago` : 'now', x(newest - seconds * SECOND + (seconds === 30 ? 1 : 0)), height)
  }

  const layers = [...order.map((peer) => [colourOf(peer), (bucket) => bucket.served.get(peer) ?? 0]), [colour('bad'), (bucket) => bucket.failed]]
  const floor = new Map(shown.map((bucket) => [bucket.number, 0]))
  for (const [fill, count] of layers) {
    if (!shown.some(count)) continue
    context.fillStyle = fill
    context.beginPath()
    for (const bucket of shown) context.lineTo(x(bucket.number), y(floor.get(bucket.number)))
    for (const bucket of shown.toReversed()) {
      const above = floor.get(bucket.number) + count(bucket) * SECOND
      context.lineTo(x(bucket.number), y(above))
      floor.set(bucket.number, above)
    }
    context.fill()
  }

  context.textBaseline = 'top'
  const free = [-Infinity, -Infinity] // where the newest words of each of two lines end
  for (const { number, text } of marks) {
    if (newest - number >= BUCKETS || number > newest) continue
    const at = Math.round(x(number)) + 0.5
    const wide = context.measureText(text).width
    const start = Math.min(Math.max(at - wide / 2, left), width - right - wide)
    const line = free.findIndex((end) => end < start)
    context.strokeStyle = colour('ink')
    context.setLineDash([3, 3])
    context.beginPath()
    context.moveTo(at, line === 0 ? 15 : top - 3)
    context.lineTo(at, height - bottom)
    context.stroke()
    context.setLineDash([])
    if (line < 0) continue
    context.fillStyle = colour('ink')
    context.textAlign = 'left'
    context.fillText(text, start, line * 16)
    free[line] = start + wide + 10
  }
}
