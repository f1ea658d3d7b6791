import { flushCompileCache } from 'node:module';
import { Command as Commander, CommanderError } from 'commander';
import { Problem } from '../core/problems/problem.ts';
import { version } from '../core/version.ts';
import { ServerRefusal, UnreachableServer } from './client.ts';
import { type Command, UsageError } from './command.ts';
import { commands, groups } from './commands.ts';
import { exitCodes, type ExitName } from './exit-codes.ts';
import { encodeJson, escapeText, openOutput } from './output.ts';

/** Runs one command line and answers with its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let ending: ExitName = 'ok';
  const json = argv.includes('--json');
  const program = new Commander('countersign')
    .description('A TLS control plane for APIs: from a plaintext fleet to proven mutual TLS, and no outage on the way.')
    .version(version)
    .exitOverride()
    // With --json the one document is the error, made below.
    .configureOutput({ writeErr: (text) => void (json || process.stderr.write(escapeLines(text))) })
    .showHelpAfterError('(countersign help COMMAND explains a command)');
  for (const command of commands) {
    addCommand(program, command, async (invocation) => {
      const { run } = await command.load();
      // Node keeps what it compiled when a process ends; the next of many that start together need not wait for that.
      flushCompileCache();
      ending = await run(invocation);
    });
  }
  program.addHelpText(
    'after',
    `\nExit codes:\n${Object.entries(exitCodes)
      .map(([, { code, meaning }]) => `  ${String(code).padEnd(4)}${meaning}`)
      .join('\n')}`,
  );
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCodes[ending].code;
  } catch (error) {
    return explainError(error, json);
  }
}

type RunInvocation = (invocation: Parameters<Awaited<ReturnType<Command['load']>>['run']>[0]) => Promise<void>;

function addCommand(program: Commander, command: Command, run: RunInvocation): void {
  const words = command.words.split(' ');
  const parent = words.slice(0, -1).reduce((at, word) => at.commands.find((child) => child.name() === word) ?? addGroup(at, word), program);
  const leaf = parent.command(words.at(-1)!).description(command.summary);
  for (const [flags, meaning] of command.arguments ?? []) leaf.argument(flags, meaning);
  for (const [flags, meaning] of command.options) leaf.option(flags, meaning);
  if (command.client) for (const [flags, meaning] of clientOptions) leaf.option(flags, meaning);
  leaf.option('--json', 'answer with one JSON document on stdout');
  leaf.addHelpText('after', `\nExample:\n  $ ${command.example}`);
  leaf.exitOverride();
  leaf.action(async (...given: unknown[]) => {
    const options = leaf.opts<Record<string, string | boolean | undefined>>();
    const args = given
      .slice(0, -2)
      .flat()
      .filter((value): value is string => typeof value === 'string');
    await run({ args, options, output: openOutput(options['json'] === true) });
  });
}

function addGroup(parent: Commander, word: string): Commander {
  return parent
    .command(word)
    .description(groups[word] ?? '')
    .exitOverride();
}

function explainError(error: unknown, json: boolean): number {
  if (error instanceof CommanderError && (error.exitCode === 0 || !json)) return exitCodes[error.exitCode === 0 ? 'ok' : 'usage'].code;
  const [ending, code] = classify(error);
  const message = error instanceof CommanderError ? describeUsage(error) : error instanceof Error ? error.message : String(error);
  const text = ending === 'internal' ? `Countersign failed: ${message}` : message;
  process.stderr.write(
    json ? `${encodeJson({ error: { code: code ?? ending, message } })}\n` : `${escapeLines(text)}${code === null ? '' : ` [${code}]`}\n`,
  );
  if (ending === 'internal' && process.env['COUNTERSIGN_TRACE'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return exitCodes[ending].code;
}

function describeUsage({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
}

function escapeLines(text: string): string {
  return text.split('\n').map(escapeText).join('\n');
}

function classify(error: unknown): [ExitName, string | null] {
  if (error instanceof UsageError || error instanceof CommanderError) return ['usage', null];
  if (error instanceof ServerRefusal) return ['refused', error.code];
  if (error instanceof UnreachableServer) return ['unreachable', null];
  if (error instanceof Problem) return [error.status < 500 ? 'usage' : 'internal', error.code];
  return ['internal', null];
}

export const clientOptions = [
  ['--server <url>', 'https address of the control plane (or COUNTERSIGN_SERVER)'],
  ['--root <file>', 'PEM of the root that the control plane must chain to (or COUNTERSIGN_ROOT)'],
  ['--token-file <file>', 'file that holds the token (or COUNTERSIGN_TOKEN_FILE)'],
] as const;

if (import.meta.main || process.argv[1]?.endsWith('src/cli/main.ts')) process.exitCode = await main(process.argv.slice(2));
