// The line channel by which a parent process drives this one: a JSON command per input line, a JSON message per output
// line. The interop peer and the benchmark role both speak it.
import { writeSync } from 'node:fs';

const LINE_FEED = 0x0a;

/** Calls `onLine` with every complete line of `stream`, split at bytes 0x0A only, then `onEnd`. */
export function readLines(stream, onLine, onEnd) {
  // Not node:readline, which also splits at U+2028 and U+2029: both occur unescaped inside JSON strings.
  let parts = [];
  stream.on('data', chunk => {
    let start = 0;
    for (let end; (end = chunk.indexOf(LINE_FEED, start)) !== -1; start = end + 1) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      onLine(line);
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  });
  stream.on('end', () => onEnd?.());
}

/** The message of anything thrown, safe to print: lone surrogates would make the output line unreadable to others. */
export function messageOf(error) {
  return String(error?.message ?? error).toWellFormed();
}

/** Writes one message. */
export function say(message) {
  process.stdout.write(JSON.stringify(message) + '\n');
}

/** Writes the last message and ends the process with status 70. */
export function die(error) {
  try {
    writeSync(1, JSON.stringify({ fatal: messageOf(error) }) + '\n');
  } catch {
    // Nobody reads any more; the status is all that is left to say.
  }
  process.exit(70);
}

/** Ends the process with status 0 after everything said so far was written. */
export function leave() {
  process.stdout.write('', () => process.exit(0));
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The reply to one line, and whether it is the last thing to say. */
async function answer(line, handlers) {
  const command = parse(line);
  const reply = command?.id ?? null;
  const failed = error => ({ message: { reply, ok: false, error }, last: false });
  if (reply === null) return failed('a command is a JSON object with an "id"');
  if (!Object.hasOwn(handlers, command.cmd)) return failed(`unknown command ${JSON.stringify(command.cmd)}`);
  try {
    return { message: { reply, ok: true, ...(await handlers[command.cmd](command)) }, last: command.cmd === 'exit' };
  } catch (error) {
    return failed(messageOf(error));
  }
}

/**
 * Serves commands from standard input. `handlers` maps the command name to a function that returns the members of the
 * reply, or a promise of them; commands run concurrently. `exit` is served here: it awaits `beforeExit(command)`,
 * answers and ends the process, as the end of the input does. `onUnhandled` receives rejections nobody awaited; without
 * it they are fatal, as uncaught exceptions always are.
 */
export function serve({ ready, handlers, beforeExit = () => {}, onUnhandled = die }) {
  process.on('uncaughtException', die);
  process.on('unhandledRejection', onUnhandled);
  process.stdout.on('error', () => process.exit(0));
  const all = { ...handlers, exit: async command => void (await beforeExit(command)) };
  readLines(
    process.stdin,
    async line => {
      if (!line.trim()) return;
      const { message, last } = await answer(line, all);
      say(message);
      if (last) leave();
    },
    async () => {
      await beforeExit({});
      leave();
    },
  );
  say({ ready: true, pid: process.pid, ...ready });
}
