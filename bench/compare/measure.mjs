// Starts one side on one measurement and reads its lines.
import { spawnSync } from 'node:child_process';

const PROGRAMS = { node: [process.execPath, 'bench/node/run.mjs'], rust: JSON.parse(process.env.BOWLINE_BENCH) };

/** Who plays which role besides all Node and all Rust. */
export const mixtures = [
  'broker=rust,publisher=rust,subscriber=node',
  'broker=rust,publisher=node,subscriber=rust',
  'broker=node,publisher=rust,subscriber=node',
];
const MIXED_LINE = '{"subscribers":1,"payload_bytes":200,"in_flight":1}';

/** What the reference does not have, or cannot do while anybody waits. */
const WITHOUT_NODE = /"payload":"json"|"topics":50000|"items":1000|^W6\.(long|sqlite)|^W7\.(memory|crowd)/;

function run(program, args) {
  const [executable, ...first] = program;
  const { stdout, error } = spawnSync(executable, [...first, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error) throw error;
  return stdout.split('\n').filter(Boolean);
}

/** What is measured together: `{name, filter, nodeToo, roles}`. */
export function subjects(part) {
  if (part === 'w4.mixed') return mixtures.map(roles => ({ name: 'w4.throughput', filter: MIXED_LINE, nodeToo: false, roles }));
  const found = new Map();
  for (const line of run(PROGRAMS.rust, [part, '--list'])) {
    const [workload, params] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
    // A topic is published once and then replayed, by one process.
    const history = /^W3\.(publish|replay)$/.test(workload) && params.match(/^\{"cached_events":\d+,/);
    const filter = history ? history[0] : workload + params;
    const nodeToo = !WITHOUT_NODE.test(workload + params);
    found.set(filter, { name: part, filter, nodeToo });
  }
  return [...found.values()];
}

/** The lines of one side, parsed. A side that fails has none; its complaint is on standard error. */
export function measure(side, { name, filter, roles }) {
  const args = [name, '--filter', filter];
  if (side === 'rust') args.push('--json');
  if (roles) args.push('--roles', roles);
  return run(PROGRAMS[side], args).map(line => JSON.parse(line));
}
