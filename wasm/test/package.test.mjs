// The package as its users get it: packed, installed elsewhere, bundled, typed; and the README's lines.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { echo, serve } from './server.mjs';

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const top = join(here, '..', '..');
const built = join(process.env.CARGO_TARGET_DIR ?? join(top, 'target'), 'wasm');
const packages = execFileSync(join(top, '.ci', 'setup-wasm.sh'), { encoding: 'utf8' }).trim();

const folder = mkdtempSync(join(tmpdir(), 'grpclb-package-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
const tarball = readdirSync(built).find((name) => name.endsWith('.tgz'));
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`, NODE_PATH: '' };
execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', join(built, tarball)], { cwd: folder, env });

const node = async (file, ...words) => (await run(process.execPath, [join(folder, file), ...words], { cwd: folder, timeout: 30_000 })).stdout;

const CALL = `
const channel = new GrpcWebChannel({ endpoints: [process.argv[2]] });
const { message } = await channel.unary('/a.B/C', Uint8Array.of(1, 2, 3));
console.log([...message].join());
channel.close();
`;

test('the package has what it should, and nothing else', () => {
  const files = readdirSync(join(folder, 'node_modules', 'grpclb'), { recursive: true }).filter((name) => /\./.test(name)).sort();
  assert.deepEqual(files.filter((name) => !name.startsWith('lib')), [
    'README.md', 'grpclb.wasm', 'index.d.ts', 'index.js', 'package.json', 'slim.d.ts', 'slim.js',
  ]);
  const { dependencies, devDependencies, scripts, version } = JSON.parse(readFileSync(join(folder, 'node_modules/grpclb/package.json')));
  assert.deepEqual([dependencies, devDependencies, scripts], [undefined, undefined, undefined]);
  assert.equal(version, /^version = "(.*)"/m.exec(readFileSync(join(top, 'Cargo.toml'), 'utf8'))[1]);
});

test('a plain import, in a folder of its own', async () => {
  const { url } = await serve(echo());
  writeFileSync(join(folder, 'plain.mjs'), `import { GrpcWebChannel } from 'grpclb';${CALL}`);
  assert.equal(await node('plain.mjs', url), '1,2,3\n');
});

test('slim: the module comes from its file, before that there is a clear error', async () => {
  const { url } = await serve(echo());
  writeFileSync(join(folder, 'slim.mjs'), `
import { readFile } from 'node:fs/promises';
import { GrpcWebChannel, init, initSync } from 'grpclb/slim';
try { new GrpcWebChannel({ endpoints: ['http://a'] }); } catch (error) { console.log(error.message); }
const octets = await readFile(new URL(import.meta.resolve('grpclb/grpclb.wasm')));
await init(octets);
await init(octets);
initSync(octets);${CALL}`);
  const lines = (await node('slim.mjs', url)).split('\n');
  assert.match(lines[0], /await init/);
  assert.equal(lines[1], '1,2,3');
});

for (const format of ['esm', 'iife', 'cjs']) {
  test(`bundled by esbuild, ${format}`, async () => {
    const { url } = await serve(echo());
    const body = format === 'esm' ? CALL : `(async () => {${CALL}})();`;
    writeFileSync(join(folder, 'app.js'), `import { GrpcWebChannel } from 'grpclb';${body}`);
    const out = join(folder, `bundle.${format === 'esm' ? 'mjs' : 'cjs'}`);
    await run(join(packages, '.bin', 'esbuild'), [join(folder, 'app.js'), '--bundle', '--minify', `--format=${format}`, '--target=es2022', `--outfile=${out}`]);
    assert.equal(await node(out.slice(folder.length + 1), url), '1,2,3\n');
  });
}

test('the types, by tsc', async () => {
  cpSync(join(here, 'consumer.ts'), join(folder, 'consumer.ts'));
  for (const module of ['nodenext', 'preserve']) {
    await run(join(packages, '.bin', 'tsc'), ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2023,dom,dom.iterable,esnext.disposable', '--types', '', '--module', module, 'consumer.ts'], { cwd: folder }).catch(
      ({ stdout, stderr }) => assert.fail(stdout + stderr),
    );
  }
});

test('every export is typed, and every type is exported', async () => {
  const types = readFileSync(join(top, 'wasm/js/index.d.ts'), 'utf8');
  const declared = [...types.matchAll(/export declare (?:class|const|function) (\w+)/g)].map(([, name]) => name).sort();
  assert.deepEqual(Object.keys(await import('grpclb')).sort(), declared);
  const { GrpcWebChannel, Picker } = await import('grpclb');
  for (const type of [GrpcWebChannel, Picker]) {
    for (const name of Object.getOwnPropertyNames(type.prototype)) {
      assert.ok(name === 'constructor' || new RegExp(`\\b${name}[(<:]`).test(types), `${type.name}.${name}`);
    }
  }
});

test("the READMEs' lines run", async () => {
  const one = await serve((request, response, body) =>
    request.url.endsWith('/SayHello') ? echo()(request, response, body) : echo({ times: 3 })(request, response, body));
  for (const [file, section] of [['README.md', '## In the browser'], ['wasm/README.md', '# grpclb']]) {
    const text = readFileSync(join(top, file), 'utf8');
    const [, code] = /```js\n([^]*?)```/.exec(text.slice(text.indexOf(section)));
    assert.ok(code.trim().split('\n').length <= 13, 'about ten lines');
    writeFileSync(join(folder, 'readme.mjs'), code.replace(/https:\/\/[\w.]+(\/\w+)?/g, one.url));
    const out = await node('readme.mjs');
    assert.match(out, /^7 octets from http:\/\/127\.0\.0\.1:\d+\n(7 octets\n){3}$/, file);
  }
});
