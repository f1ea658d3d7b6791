import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** CPU time and memory of a process with all its descendants, from /proc (Linux). */
export type ProcessUsage = { readonly cpuMs: number; readonly rssMb: number };

/** A process that ended while it was read counts as nothing. */
export function readUsage(pid: number): ProcessUsage {
  const usages = [pid, ...descendantsOf(pid)].map(readOne);
  return {
    cpuMs: usages.reduce((sum, usage) => sum + usage.cpuMs, 0),
    rssMb: usages.reduce((sum, usage) => sum + usage.rssMb, 0),
  };
}

function readOne(pid: number): ProcessUsage {
  try {
    // proc(5): the fields after the command's closing parenthesis begin with the state, field 3.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
    return { cpuMs: (ticks * 1_000) / ticksPerSecond, rssMb: (Number(fields[21]) * pageOctets) / 1_048_576 };
  } catch {
    return { cpuMs: 0, rssMb: 0 };
  }
}

function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = Number(readFileSync(`/proc/${name}/stat`, 'latin1').split(') ')[1]!.split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended meanwhile.
    }
  }
  const found = children.get(pid) ?? [];
  for (let at = 0; at < found.length; at++) found.push(...(children.get(found[at]!) ?? []));
  return found;
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const pageOctets = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
