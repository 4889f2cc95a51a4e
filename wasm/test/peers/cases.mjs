// What every web client must be able to do with every web server. Node and browsers: no assert module.
// `make()` gives a client in the form of clients.mjs; a case throws when it is not content.

let number = 0
/** A text that no other call has: `Go`, `Hang` and `Cancelled` find each other by it. */
const unique = () => `${Math.random()}-${number++}`

function equal(got, expected, what) {
  if (got !== expected) throw new Error(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`)
}

async function fails(doing, what) {
  try {
    await doing()
  } catch (error) {
    return error
  }
  throw new Error(`${what}: expected an error`)
}

function failedPrecondition(error) {
  equal(error.code, 9, `code of ${JSON.stringify(error)}`)
  equal(error.message, '50 % of ☺ left', 'message')
  equal(error.why, 'trailer', 'trailer x-why')
  // google.rpc.Status: code 9, and within its Any a grpclb.test.Text "why".
  const text = new TextDecoder().decode(error.details)
  equal(text.slice(0, 2), '\b\t', 'the first octets of the details')
  equal(text.endsWith('grpclb.test.Text\x12\x05\n\x03why'), true, `details ${JSON.stringify(text)}`)
}

async function seen(client, key) {
  for (let tries = 0; tries < 400; tries++) {
    if ((await client.unary('Cancelled', key)).text === 'yes') return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the server did not see the cancellation')
}

async function all(stream) {
  const texts = []
  for await (const text of stream) texts.push(text)
  return texts
}

export const CASES = {
  async 'unary, with metadata both ways'(client) {
    const answer = await client.unary('Say', 'grüezi ☺', { metadata: { 'x-echo': 'a value' } })
    equal(answer.text, 'grüezi ☺', 'answer')
    equal(answer.headers.get('x-echo'), 'a value', 'header')
  },
  async 'unary, empty and large'(client) {
    for (const size of [0, 127, 128, 200_000]) {
      const { text } = await client.unary('Say', 'x'.repeat(size))
      equal(text.length, size, 'length')
    }
  },
  async 'error status with details'(client) {
    failedPrecondition(await fails(() => client.unary('Fail', ''), 'Fail'))
  },
  async 'error status with details after a message'(client) {
    const got = []
    const error = await fails(async () => {
      for await (const text of client.stream('Break', '')) got.push(text)
    }, 'Break')
    equal(got.join(), '1', 'before it')
    failedPrecondition(error)
  },
  async 'no such method'(client) {
    equal((await fails(() => client.unary('Missing', ''), 'Missing')).code, 12, 'code')
  },
  async 'server streaming as it arrives'(client) {
    const key = unique()
    const got = []
    // The server sends no second message before we have told it that the first is here.
    for await (const text of client.stream('Count', key)) {
      got.push(text)
      if (got.length < 3) await client.unary('Go', key)
    }
    equal(got.join(), '1,2,3', 'stream')
  },
  async 'server streaming, whole'(client) {
    const key = unique()
    await client.unary('Go', key)
    await client.unary('Go', key)
    equal((await all(client.stream('Count', key))).join(), '1,2,3', 'stream')
  },
  async 'cancelled in mid-stream, and the server sees it'(client) {
    const key = unique()
    const stop = new AbortController()
    const error = await fails(async () => {
      for await (const text of client.stream('Hang', key, { signal: stop.signal })) stop.abort(text)
    }, 'Hang')
    equal(error.code, 1, `code of ${error.message}`)
    await seen(client, key)
  },
  async 'unary cancelled, and the server sees it'(client) {
    const key = unique()
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 200)
    equal((await fails(() => client.unary('HangUnary', key, { signal: stop.signal }), 'HangUnary')).code, 1, 'code')
    await seen(client, key)
  },
  async 'a loop that is left cancels its call'(client) {
    const key = unique()
    for await (const text of client.stream('Hang', key)) {
      equal(text, '1', 'message')
      break
    }
    await seen(client, key)
  },
  async 'deadline of a unary call'(client) {
    const began = performance.now()
    const error = await fails(() => client.unary('HangUnary', unique(), { timeoutMs: 300 }), 'HangUnary')
    equal(error.code, 4, `code of ${error.message}`)
    const took = performance.now() - began
    if (took < 250 || took > 5000) throw new Error(`a deadline of 300 ms ended after ${took} ms`)
  },
  async 'deadline of a stream'(client) {
    const got = []
    const error = await fails(async () => {
      for await (const text of client.stream('Hang', unique(), { timeoutMs: 1000 })) got.push(text)
    }, 'Hang')
    equal(error.code, 4, `code of ${error.message}`)
    equal(got.join(), '1', 'before it')
  },
}
