// For `node --test`: a line a test with its time, failures in full, and `N passed, N failed, N skipped` at the end.

import { resolve } from 'node:path'

export default async function* report(events) {
  const counts = { ok: 0, FAIL: 0, SKIP: 0 }
  const above = []
  for await (const { type, data } of events) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message
    if (type === 'test:start') above[data.nesting] = data.name
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const suite = data.details?.type === 'suite'
    const failed = type === 'test:fail'
    // A suite is no test; it fails for itself only when a hook of its own does.
    if (suite && (!failed || data.details.error?.failureType === 'subtestsFailed')) continue
    if (!failed && resolve(data.name) === data.file) continue // a file without tests
    const word = failed ? 'FAIL' : data.skip !== undefined || data.todo !== undefined ? 'SKIP' : 'ok'
    counts[word]++
    const name = [...above.slice(0, data.nesting), data.name].join(': ')
    yield `${word.padEnd(4)}  ${name} (${(data.details.duration_ms / 1000).toFixed(2)} s)\n`
    if (failed) {
      const cause = data.details.error?.cause ?? data.details.error
      yield `${cause?.stack ?? cause}\n\n`
    }
  }
  yield `${counts.ok} passed, ${counts.FAIL} failed, ${counts.SKIP} skipped\n`
}
