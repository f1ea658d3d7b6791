import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { type Answer, answerVerification, ParsedTexts } from './answer-verification.ts';
import { boundedLines, type BoundedLine } from './bounded-lines.ts';
import { type Invocation, neededOption, type Run, textOption, UsageError } from './command.ts';
import { escapeText } from './output.ts';
import { readVerifyRequest, type VerifyRequest } from './verify-request.ts';

/** `countersign cert verify`: needs the files and nothing else; with `--lines` it answers a stream of requests. */
export const run: Run = async (invocation) => {
  if (invocation.options['lines'] === true) return verifyLines(invocation);
  const request = await readOptions(invocation);
  const answer = answerVerification(Date.now(), request, new ParsedTexts());
  const shown =
    answer.verdict === 'accept'
      ? { ...answer, path: answer.path.map(({ subject, serialHex }) => ({ subject: subject.text, serialHex })) }
      : answer;
  invocation.output.answer(shown, () => [escapeText(lineOf(answer))]);
  return answer.verdict === 'accept' ? 'ok' : 'no';
};

async function verifyLines({ output, args }: Invocation): ReturnType<Run> {
  if (output.json || args.length > 0)
    throw new UsageError('--lines reads requests from stdin and answers in lines; leave files and --json out');
  const parsed = new ParsedTexts();
  for await (const batch of boundedLines(process.stdin, MAX_LINE_OCTETS)) {
    const answers = batch.map((line) => `${answerLine(line, parsed)}\n`).join('');
    if (!process.stdout.write(answers)) await once(process.stdout, 'drain');
  }
  return 'ok';
}

/** One answer for one line, whatever is in it. */
export function answerLine(line: BoundedLine, parsed: ParsedTexts, now = Date.now()): string {
  if (line === null) return `reject malformed: a line of more than ${MAX_LINE_OCTETS} octets`;
  try {
    return escapeText(lineOf(answerVerification(now, readVerifyRequest(JSON.parse(line)), parsed)));
  } catch (error) {
    if (error instanceof SyntaxError) return 'reject malformed: not JSON';
    if (error instanceof Problem) return escapeText(`reject malformed: ${error.message}`);
    // The other lines still want their answers; nothing is accepted by mistake.
    process.stderr.write(`${escapeText(`Countersign failed on a line: ${error instanceof Error ? error.message : String(error)}`)}\n`);
    return 'reject internal: Countersign itself failed';
  }
}

function lineOf(answer: Answer): string {
  return answer.verdict === 'accept' ? 'accept' : `reject ${answer.reason}: ${answer.detail}`;
}

/** The request that the options make: the same fields as a line has, certificates and lists from files. */
async function readOptions(invocation: Invocation): Promise<VerifyRequest> {
  const [file, ...others] = invocation.args;
  if (file === undefined || others.length > 0) throw new UsageError('expected one file with the certificate to verify');
  const text = async (name: string): Promise<string[]> => {
    const path = textOption(invocation, name);
    return path === undefined ? [] : [await readText(path)];
  };
  const [leaf, ...chain] = splitPem(await readText(file));
  const list = (name: string): string[] => textOption(invocation, name)?.split(',') ?? [];
  return readVerifyRequest({
    leaf: leaf ?? '',
    trusted: [await readText(neededOption(invocation, 'trusted'))],
    intermediates: [...chain, ...(await text('intermediates'))],
    crls: await text('crls'),
    time: textOption(invocation, 'time'),
    name: list('name').map((name) => ({ kind: name.split(':', 1)[0], value: name.slice(name.indexOf(':') + 1) })),
    extendedKeyUsage: list('extendedKeyUsage'),
    keyUsage: list('keyUsage'),
    maxDepth: textOption(invocation, 'maxDepth') === undefined ? undefined : Number(textOption(invocation, 'maxDepth')),
    policies: {
      initial: list('policies'),
      explicit: invocation.options['explicitPolicy'] === true,
    },
    conformance: textOption(invocation, 'conformance'),
  });
}

/** Each block on its own: the first is the leaf, what follows it came with it. */
function splitPem(text: string): readonly string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${path}, expected a readable file`, { cause });
  }
}

/** Room for every certificate and list of a large suite in one line. */
const MAX_LINE_OCTETS = 33_554_432;
