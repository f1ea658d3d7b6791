import { basename, dirname, join, resolve } from 'node:path';
import { modes } from '../core/policy/mode.ts';
import { demands, type DemandName, type Gap } from '../core/render/demands.ts';
import { parseRenderOrder, type RenderWords } from '../core/render/parse-render-order.ts';
import { parseProxyProgram, proxyKinds } from '../core/render/proxy-program.ts';
import { type Rendering, renderConfiguration, scriptNames } from '../core/render/render-configuration.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { findRenderSubject } from './render-subject.ts';
import { reserveFile } from './write-secret.ts';

/**
 * `countersign policy render`: a configuration for a proxy that others run. What it will not enforce is said on stderr; who would be let in by
 * that is let in by nobody who did not accept it by name.
 */
export const run: Run = async (invocation) => {
  const { output, options } = invocation;
  const accepted = readAccepted(textOption(invocation, 'accept'));
  const { order, local } = await readOrder(invocation);
  const rendering = renderConfiguration(order);
  const open = rendering.gaps.filter(({ demand }) => !accepted.has(demand));
  for (const gap of rendering.gaps) output.remark(describe(gap));
  const isDangerous = open.some(({ weight }) => weight === 'access');
  if (isDangerous || (options['strict'] === true && open.length > 0)) {
    output.remark(
      `nothing was written: --accept ${open
        .filter(({ weight }) => !isDangerous || weight === 'access')
        .map(({ demand }) => demand)
        .join(',')} takes it as it is`,
    );
    return isDangerous ? 'no' : 'partial';
  }
  const written = await write(rendering, textOption(invocation, 'out'), local);
  const { gaps, files } = rendering;
  output.answer(written === null ? { gaps, files } : { gaps, written }, () =>
    written === null ? files[0]!.text.trimEnd().split('\n') : written.map((file) => `written to ${file}`),
  );
  return 'ok';
};

async function readOrder(invocation: Invocation) {
  const kind = proxyKinds.find((known) => known === invocation.args[0]);
  if (kind === undefined) throw new UsageError(`${invocation.args[0] ?? 'nothing'}, expected ${proxyKinds.join(', ')}`);
  const text = (name: string): string | undefined => textOption(invocation, name);
  const mode = modes.find((known) => known === (text('mode') ?? 'enforce'));
  if (mode === undefined) throw new UsageError(`--mode ${text('mode')}, expected ${modes.join(', ')}`);
  const program = parseProxyProgram(kind, {
    version: text('forVersion'),
    openssl: text('openssl'),
    njs: text('njs'),
  });
  const subject = { program, mode, ...(await findRenderSubject(invocation)) };
  const [out, name] = [text('out'), scriptNames[kind]];
  const script = text('script') ?? (out === undefined || name === null ? undefined : join(dirname(resolve(out)), name));
  const words: RenderWords = { ...(invocation.options as RenderWords), script };
  const order = parseRenderOrder(subject, words);
  return { order, local: out === undefined || order.script === null ? null : join(dirname(resolve(out)), basename(order.script)) };
}

/** New files only: what somebody changed by hand is not lost. */
async function write({ files }: Rendering, out: string | undefined, script: string | null): Promise<readonly string[] | null> {
  const [configuration, loaded] = files;
  if (out === undefined) {
    if (loaded !== undefined) throw new UsageError('--out is missing: the configuration loads a script, which is a second file');
    return null;
  }
  await using first = await reserveFile(out);
  if (loaded === undefined || script === null) {
    await first.write(configuration!.text);
    return [out];
  }
  await using second = await reserveFile(script);
  await second.write(loaded.text);
  await first.write(configuration!.text);
  return [out, script];
}

function readAccepted(text: string | undefined): ReadonlySet<DemandName> {
  const names = text === undefined ? [] : text.split(',');
  const odd = names.find((name) => !Object.hasOwn(demands, name));
  if (odd !== undefined) throw new UsageError(`--accept ${odd}, expected ${Object.keys(demands).join(', ')}`);
  return new Set(names as DemandName[]);
}

function describe({ demand, weight, why }: Gap): string {
  return `not enforced${weight === 'access' ? ' (lets in who should not be)' : ''}: ${demand}: ${why}`;
}
