// Runs a scenario of core/tests/scenarios through the package's picker, and prints what the README there says.
//
//     node wasm/examples/scenario.mjs FILE        (after make wasm)

import { readFileSync } from 'node:fs';
import { Picker } from 'grpclb';

const PICKS = { QUEUE: 'queue', FAIL: 'fail', DROP: 'drop' };
const VERBS = { ready: 'READY', failed: 'FAILED', lost: 'LOST' };

function run({ seed, position, steps }) {
  const picker = new Picker({ seed, position });
  const newest = new Map(); // of each address the id that was to be connected last
  const addresses = new Map(); // of each id
  let now = 0;

  const verbs = {
    connect: () => picker.connect(now),
    resolve: ({ endpoints, weights, config }) => {
      const list = endpoints.map((text, i) => ({ addresses: text.split(','), weight: weights ? weights[i] : 1 }));
      picker.handleResolution(now, list, config);
    },
    resolve_error: () => picker.handleResolutionError(now),
    advance: ({ ms }) => picker.handleTimeout((now += ms)),
    busy: ({ on }) => picker.setBusy(now, on !== 0),
    shutdown: () => picker.shutdown(),
    pick: ({ count }) => Array.from({ length: count }, () => picker.pick(now)).map((pick) => PICKS[pick] ?? picker.address(pick)).join(' '),
  };
  for (const [verb, event] of Object.entries(VERBS)) {
    verbs[verb] = ({ address }) => picker.handleSubchannel(now, newest.get(address), event);
  }

  for (const step of steps) {
    let details;
    try {
      details = verbs[step.do](step);
    } catch (error) {
      if (step.do !== 'resolve') throw error;
      details = `error: ${error.message}`;
    }
    const actions = [];
    for (let action; (action = picker.pollAction()) !== null; ) {
      if (action.do === 'connect') {
        const address = picker.address(action.id);
        newest.set(address, action.id);
        addresses.set(action.id, address);
      }
      actions.push(action.do === 'resolve' ? 'resolve' : `${action.do} ${addresses.get(action.id)}`);
    }
    const parts = [picker.state, details, actions.join(', ')].filter((part) => typeof part === 'string' && part !== '');
    process.stdout.write(`${step.do}: ${parts.join('; ')}\n`);
  }
}

try {
  run(JSON.parse(readFileSync(process.argv[2], 'utf8')));
} catch (error) {
  console.error(`scenario: ${error.message}`);
  process.exit(2);
}
