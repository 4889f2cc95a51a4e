// package.mjs OUT PACKAGES: puts the npm package together in OUT/pkg, packs it, prints sizes and holds them against
// budget.json. OUT/bindgen has what wasm-bindgen and wasm-opt made.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const [out, packages] = process.argv.slice(2);
const source = join(dirname(fileURLToPath(import.meta.url)), '..');
const pkg = join(out, 'pkg');

rmSync(pkg, { recursive: true, force: true });
mkdirSync(pkg, { recursive: true });
cpSync(join(source, 'js'), pkg, { recursive: true });
cpSync(join(source, 'README.md'), join(pkg, 'README.md'));
for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) cpSync(join(source, '..', licence), join(pkg, licence));

const wasm = readFileSync(join(out, 'bindgen', 'grpclb.wasm'));
writeFileSync(join(pkg, 'grpclb.wasm'), wasm);
cpSync(join(out, 'bindgen', 'grpclb.js'), join(pkg, 'lib', 'glue.js'));
writeFileSync(join(pkg, 'lib', 'inline.js'), `// grpclb.wasm\nexport default '${wasm.toString('base64')}';\n`);

// So that `import 'grpclb'` in wasm/examples and wasm/test means it.
mkdirSync(join(source, 'node_modules'), { recursive: true });
const link = join(source, 'node_modules', 'grpclb');
rmSync(link, { recursive: true, force: true });
symlinkSync(relative(dirname(link), pkg), link, 'dir');

for (const old of readdirSync(out).filter((name) => name.endsWith('.tgz'))) rmSync(join(out, old));
execFileSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: pkg, stdio: ['ignore', 'ignore', 'inherit'] });

// As an application gets it.
const bundle = (entry) => {
  const file = join(out, 'bundle', `${entry}.js`);
  execFileSync(join(packages, '.bin', 'esbuild'), [
    join(pkg, `${entry}.js`), '--bundle', '--minify', '--format=esm', '--target=es2022', '--log-level=error', `--outfile=${file}`,
  ]);
  return readFileSync(file);
};
const budget = JSON.parse(readFileSync(join(source, 'packaging', 'budget.json')));
let over = false;
const show = (name, octets) => {
  const size = gzipSync(octets, { level: 9 }).length;
  const most = budget[name];
  console.log(
    `${name.padEnd(28)} ${String(octets.length).padStart(7)} octets, gzip ${String(size).padStart(6)} ` +
      `(budget ${most}), brotli ${String(brotliCompressSync(octets).length).padStart(6)}`,
  );
  over ||= !(size <= most);
};
show('grpclb.wasm', wasm);
show('slim, bundled and minified', bundle('slim'));
show('all in one, bundled', bundle('index'));
console.log(`package: ${pkg}`);
if (over) {
  console.error('larger than wasm/packaging/budget.json allows');
  process.exit(1);
}
