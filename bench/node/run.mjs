// The entry: node run.mjs <workload…> [--filter text]. Each workload runs in a process of its own, so that none is
// measured in the heap another left behind.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lineOf } from './line.mjs';

const MODULES = { w1: './w1.mjs', w2: './w2.mjs', w3: './w3.mjs', w4: './w4.mjs', w5: './w5.mjs', w6: './w6.mjs', w7: './w7.mjs', w9: './w9.mjs' };
const IN_THIS_PROCESS = 'BENCH_IN_THIS_PROCESS';

const { values, positionals: names } = parseArgs({
  options: { filter: { type: 'string', default: '' } },
  allowPositionals: true,
});

const moduleOf = name => MODULES[name.split('.')[0]];

function isWanted({ workload, params }, name) {
  const full = workload.toLowerCase();
  return (full === name || full.startsWith(name + '.')) && (workload + JSON.stringify(params)).includes(values.filter);
}

async function runHere(name) {
  const { measurements, missing } = await import(moduleOf(name));
  const reason = missing?.();
  if (reason !== undefined) {
    process.stderr.write(`${name} is skipped: ${reason}\n`);
    return;
  }
  const print = (line, result) => {
    const printed = lineOf(line, result);
    if (isWanted(line, name)) process.stdout.write(JSON.stringify(printed) + '\n');
  };
  for (const { lines, run } of measurements) {
    if (!lines.some(line => isWanted(line, name))) continue;
    try {
      await run(print);
    } catch (error) {
      process.stderr.write(`${lines[0].workload} ${JSON.stringify(lines[0].params)}: ${error.stack}\n`);
      process.exitCode = 1;
    }
  }
  process.stdout.write('', () => process.exit());
}

function runApart(name) {
  const self = fileURLToPath(import.meta.url);
  const env = { ...process.env, [IN_THIS_PROCESS]: '1', NODE_NO_WARNINGS: '1' };
  return spawnSync(process.execPath, [self, name, '--filter', values.filter], { env, stdio: 'inherit' }).status === 0;
}

const unknown = names.filter(name => !moduleOf(name));
if (names.length === 0 || unknown.length > 0) {
  const complaint = unknown.length > 0 ? `unknown workload ${unknown.join(', ')}\n` : '';
  process.stderr.write(`${complaint}usage: node run.mjs <${Object.keys(MODULES).join(' | ')}>[.part]… [--filter text]\n`);
  process.exit(2);
}
if (process.env[IN_THIS_PROCESS]) await runHere(names[0]);
else process.exitCode = names.map(runApart).every(Boolean) ? 0 : 1;
