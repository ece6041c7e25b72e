// Runs the pairs and prints the table; started by ../compare.sh from the root of the repository.
import { appendFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { measure, mixtures, subjects } from './measure.mjs';
import { document } from './table.mjs';

const PARTS = ['w1', 'w2', 'w3', 'w4.throughput', 'w4.mixed', 'w4.latency', 'w4.failover', 'w5.publish', 'w5.group', 'w5.fanout', 'w5.latency', 'w5.stream', 'w6', 'w7', 'w9'];

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    failovers: { type: 'string', default: '20' },
    raw: { type: 'string' },
  },
  allowPositionals: true,
});
const rounds = Number(values.rounds);
const parts = positionals.length > 0 ? positionals : PARTS;
/** A part of a part is one too, such as w6.foreach. */
const isPart = name => PARTS.some(part => name === part || name.startsWith(part + '.'));
const unknown = parts.filter(part => !isPart(part));
if (unknown.length > 0 || !(rounds >= 1)) {
  process.stderr.write(`usage: compare.sh [--rounds n] [--seconds s] [--failovers n] [--raw file] [${PARTS.join(' | ')}]…\n`);
  process.exit(2);
}
process.env.BENCH_SECONDS = values.seconds;
process.env.FAILOVERS = values.failovers;

/** Lines by side and key, one per round. */
const results = { node: new Map(), rust: new Map() };

function keep(side, lines, roles) {
  for (const line of lines) {
    const key = line.workload + JSON.stringify(line.params) + (roles ?? '');
    if (!results[side].has(key)) results[side].set(key, []);
    results[side].get(key).push(line);
    if (values.raw) appendFileSync(values.raw, JSON.stringify({ side, ...line }) + '\n');
  }
}

if (values.raw) writeFileSync(values.raw, '');
for (const part of parts) {
  // A failover takes so long, and has so many rounds of its own, that it is measured once.
  const turns = part === 'w4.failover' ? 1 : rounds;
  for (let turn = 0; turn < turns; turn++) {
    process.stderr.write(`${part}, round ${turn + 1} of ${turns}\n`);
    for (const subject of subjects(part)) {
      const sides = subject.nodeToo ? ['node', 'rust'] : ['rust'];
      // Who is first alternates, so that neither side always gets the warmer machine.
      if (turn % 2 === 1) sides.reverse();
      for (const side of sides) keep(side, measure(side, subject), subject.roles);
    }
  }
}
process.stdout.write(document(results, { rounds, seconds: values.seconds, mixtures }));
