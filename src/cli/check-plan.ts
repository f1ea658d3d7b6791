import { relative, resolve, dirname } from 'node:path';
import type { Ignore } from '../core/findings/ignore.ts';
import { severities, type Severity } from '../core/findings/posture-rules.ts';
import { defaultPolicy, type Policy } from '../core/policy/policy.ts';
import { Problem } from '../core/problems/problem.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../core/time/instant.ts';
import { parseDeclaration } from '../control/inventory/parse-declaration.ts';
import type { ClientCredential } from '../dataplane/scanner/full-handshake.ts';
import { parseCheckFile, type WrittenTarget } from './check-file.ts';
import { type CheckTarget, identityOfHost, nameOfTarget, parseTarget } from './check-target.ts';
import { type Invocation, textOption, UsageError } from './command.ts';
import { inventoryTargets } from './inventory-targets.ts';
import { fetchPolicies } from './fetch-policies.ts';
import { readAnchors } from './read-anchors.ts';
import { readTextFile } from './read-text-file.ts';

/** All that was asked of `countersign check`. */
export type CheckPlan = {
  readonly targets: readonly CheckTarget[];
  readonly ignores: readonly Ignore[];
  readonly threshold: Severity;
  /** Null: as the rules have it. */
  readonly expiresWithinMs: number | null;
  readonly credential: ClientCredential | null;
};

/** @throws input-invalid, UsageError */
export async function planCheck(invocation: Invocation): Promise<CheckPlan> {
  const common = await readCommon(invocation);
  const file = textOption(invocation, 'file');
  const written = file === undefined ? { targets: [], ignores: [] } : parseCheckFile(await readTextFile(file));
  const given = invocation.args.map((text) => targetOf(common, { ...parseTarget(text) }));
  const listed = await Promise.all(written.targets.map((target) => fromFile(common, file!, target)));
  const known = invocation.options['inventory'] === true ? await inventoryTargets(invocation) : [];
  const targets = [...given, ...listed, ...known];
  if (targets.length === 0) throw new UsageError('targets are missing: HOST:PORT, --file FILE or --inventory');
  if (targets.length > MAXIMUM_TARGETS) throw new UsageError(`${targets.length} targets, expected at most ${MAXIMUM_TARGETS}`);
  return {
    targets,
    ignores: written.ignores,
    threshold: readThreshold(invocation),
    expiresWithinMs: readWithin(invocation),
    credential: await readCredential(invocation),
  };
}

type Common = {
  readonly policies: ReadonlyMap<string, Policy>;
  readonly policy: Policy;
  readonly anchors: CheckTarget['anchors'];
  readonly serverName: string | null;
  readonly clientCertificate: CheckTarget['clientCertificate'];
};

async function readCommon(invocation: Invocation): Promise<Common> {
  const policyFile = textOption(invocation, 'policy');
  const policyName = textOption(invocation, 'policyName');
  const policies =
    policyFile !== undefined ? await readPolicies(policyFile) : policyName === undefined ? new Map() : await fetchPolicies(invocation);
  const wanted = textOption(invocation, 'clientCertificate');
  if (wanted !== undefined && wanted !== 'required' && wanted !== 'not-required')
    throw new UsageError(`--client-certificate ${wanted}, expected required or not-required`);
  const anchors = textOption(invocation, 'anchors');
  return {
    policies,
    policy: choosePolicy(policies, policyName),
    anchors: anchors === undefined ? 'public' : readAnchors(anchors, await readTextFile(anchors)),
    serverName: textOption(invocation, 'serverName') ?? null,
    clientCertificate: wanted ?? null,
  };
}

/** The one that is named; else the one there is, else the one called `default`. */
function choosePolicy(policies: ReadonlyMap<string, Policy>, name: string | undefined): Policy {
  if (name === undefined) return policies.size === 1 ? [...policies.values()][0]! : (policies.get('default') ?? defaultPolicy);
  const policy = policies.get(name);
  if (policy === undefined) throw new Problem('input-invalid', `Cannot check by policy ${name}: there is none of that name`);
  return policy;
}

/** The policies of a file of declarations, by name. */
async function readPolicies(file: string): Promise<ReadonlyMap<string, Policy>> {
  const declared = parseDeclaration(await readTextFile(file));
  const policies = new Map(declared.flatMap((one) => (one.kind === 'Policy' ? [[one.name, one.policy] as const] : [])));
  if (policies.size === 0) throw new Problem('input-invalid', `Cannot read policy: ${file} declares none, expected kind: Policy`);
  return policies;
}

/** What is not said of a target is as a client would have it. */
function targetOf(common: Common, target: Partial<CheckTarget> & Pick<CheckTarget, 'host' | 'port'>): CheckTarget {
  const identity = identityOfHost(target.serverName ?? common.serverName ?? target.host);
  return {
    name: nameOfTarget(target),
    place: null,
    serverName: identity.kind === 'dns' ? identity.name : null,
    speech: 'http',
    policy: common.policy,
    identity,
    anchors: common.anchors,
    clientCertificate: common.clientCertificate,
    ...target,
  };
}

async function fromFile(common: Common, file: string, written: WrittenTarget): Promise<CheckTarget> {
  const { host, port, line, name, serverName, spiffeId, speech, clientCertificate, anchors, policy } = written;
  const anchorsFile = anchors === null ? null : resolve(dirname(file), anchors);
  const named = policy === null ? common.policy : common.policies.get(policy);
  if (named === undefined) throw new Problem('input-invalid', `Cannot check ${name}: policy ${policy}, expected one of --policy`);
  return targetOf(common, {
    host,
    port,
    name,
    speech,
    place: { file: relative('.', file), line },
    policy: named,
    ...(serverName === null ? {} : { serverName }),
    ...(spiffeId === null ? {} : { identity: { kind: 'uri', uri: spiffeId } }),
    ...(clientCertificate === null ? {} : { clientCertificate }),
    ...(anchorsFile === null ? {} : { anchors: readAnchors(anchorsFile, await readTextFile(anchorsFile)) }),
  });
}

async function readCredential(invocation: Invocation): Promise<ClientCredential | null> {
  const [certificate, key] = [textOption(invocation, 'certificate'), textOption(invocation, 'key')];
  if (certificate === undefined && key === undefined) return null;
  if (certificate === undefined || key === undefined) throw new UsageError('--certificate and --key go together');
  return { certificates: await readTextFile(certificate), key: await readTextFile(key) };
}

function readThreshold(invocation: Invocation): Severity {
  const text = textOption(invocation, 'severity') ?? 'medium';
  const severity = severities.find((known) => known === text);
  if (severity === undefined) throw new UsageError(`--severity ${text}, expected ${severities.join(', ')}`);
  return severity;
}

function readWithin(invocation: Invocation): number | null {
  const text = textOption(invocation, 'expiresWithin');
  if (text === undefined) return null;
  const match = /^(\d{1,5})([smhd])$/.exec(text);
  if (match === null) throw new UsageError(`--expires-within ${text}, expected a number with its unit, such as 30d, 12h or 45m`);
  return Number(match[1]) * { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }[match[2] as 's' | 'm' | 'h' | 'd'];
}

/** An inventory of a large fleet; one of a million would scan for a week. */
const MAXIMUM_TARGETS = 10_000;
