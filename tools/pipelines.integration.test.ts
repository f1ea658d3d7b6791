import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { missingPeer, runProgram } from '../test/support/peer-program.ts';
import { commands } from '../src/cli/commands.ts';
import { clientOptions } from '../src/cli/main.ts';

const root = join(import.meta.dirname, '..');
const peers = join(root, '.test/peers');
const folder = await mkdtemp(join(tmpdir(), 'countersign-pipelines-'));
after(() => rm(folder, { recursive: true }));
const workflows = globSync(join(root, 'integrations/github/*.yml'));
const gitlab = join(root, 'integrations/gitlab/countersign.gitlab-ci.yml');

describe('the workflows for GitHub', { skip: missingPeer('bin/actionlint') }, () => {
  test('are clean by actionlint', async () => {
    assert.ok(workflows.length >= 2);
    const { code, stdout, stderr } = await lint(...workflows);
    assert.equal(code, 0, `${stdout}${stderr}`);
  });

  test('and would not be with a fault', async () => {
    const broken = join(folder, 'broken.yml');
    await writeFile(broken, readFileSync(workflows[0]!, 'utf8').replace('runs-on:', 'run-on:'));
    assert.notEqual((await lint(broken)).code, 0);
  });
});

describe("the pipeline for GitLab, by GitLab's own schema", { skip: missingPeer('gitlab-ci-local/node_modules/gitlab-ci-local') }, () => {
  test('is valid, and has its two jobs', async () => {
    const { code, output } = await list(readFileSync(gitlab, 'utf8'));
    assert.equal(code, 0, output);
    assert.match(output, /json schema validated/);
    for (const job of ['tls-endpoints', 'certificate']) assert.match(output, new RegExp(`^${job} `, 'm'));
  });

  test('and would not be with a fault', async () => {
    const { code, output } = await list(readFileSync(gitlab, 'utf8').replace('junit: check.xml', 'jnuit: check.xml'));
    assert.notEqual(code, 0);
    assert.match(output, /jnuit/);
  });
});

test('every command line of the pipelines is one of ours, with options that it has', async () => {
  const lines = [...workflows, gitlab].flatMap((file) =>
    scriptsIn(parse(readFileSync(file, 'utf8')))
      .flatMap((script) => script.split('\n'))
      .flatMap((line) =>
        /bin\/countersign\.js (.*)$/.exec(line)?.[1] === undefined ? [] : [/bin\/countersign\.js (.*)$/.exec(line)![1]!],
      ),
  );
  assert.equal(lines.length, 4);
  for (const line of lines) {
    const command = commands.find(({ words }) => line.startsWith(`${words} `));
    assert.ok(command !== undefined, line);
    const known = [...command.options, ...clientOptions].map(([flags]) => /--[a-z-]+/.exec(flags)![0]);
    for (const [option] of line.matchAll(/--[a-z-]+/g)) assert.ok(known.includes(option), `${option} in ${line}`);
  }
});

function lint(...files: readonly string[]): ReturnType<typeof runProgram> {
  return runProgram(join(peers, 'bin/actionlint'), ['-shellcheck=', '-pyflakes=', ...files]);
}

/** The jobs of a pipeline, if GitLab's schema allows it. */
async function list(text: string): Promise<{ readonly code: number; readonly output: string }> {
  const home = await mkdtemp(join(folder, 'gitlab-'));
  await promisify(execFile)('git', ['init', '--quiet', home]);
  await writeFile(join(home, '.gitlab-ci.yml'), text);
  const program = join(peers, 'gitlab-ci-local/node_modules/gitlab-ci-local/dist/index.js');
  const { code, stdout, stderr } = await runProgram(process.execPath, [program, '--list', '--cwd', relative('.', home)]);
  return { code, output: `${stdout}${stderr}` };
}

/** All texts under `run` and `script`. */
function scriptsIn(node: unknown): readonly string[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]: [string, unknown]) => {
    if (key === 'run' && typeof value === 'string') return [value];
    if (key === 'script' && Array.isArray(value)) return value.filter((line): line is string => typeof line === 'string');
    return scriptsIn(value);
  });
}
