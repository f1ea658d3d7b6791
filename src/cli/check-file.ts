import { type LineCounter, LineCounter as Lines, type Node, parseAllDocuments } from 'yaml';
import type { Ignore } from '../core/findings/ignore.ts';
import { postureRules, type PostureRuleId } from '../core/findings/posture-rules.ts';
import { parseSpiffeId } from '../core/identity/spiffe-id.ts';
import { parseIpAddress } from '../core/identity/ip-address.ts';
import { parseDnsName } from '../core/identity/dns-name.ts';
import { Problem } from '../core/problems/problem.ts';
import { startTlsProtocols } from '../dataplane/scanner/begin-talk.ts';
import type { Speech } from '../dataplane/scanner/scan-posture.ts';
import { openFields, type Fields, type TextForm } from '../control/inventory/declaration-fields.ts';
import { dateForm, nameForm, reasonForm } from '../control/inventory/text-forms.ts';
import { type HostAndPort, nameOfTarget, parseTarget } from './check-target.ts';

/** A target as a file has it; what is null is as for targets of the command line. */
export type WrittenTarget = HostAndPort & {
  readonly line: number;
  readonly name: string;
  readonly serverName: string | null;
  readonly spiffeId: string | null;
  readonly speech: Speech;
  readonly clientCertificate: 'required' | 'not-required' | null;
  /** File of PEM, as it stands there. */
  readonly anchors: string | null;
  /** Name of a policy of the policy file. */
  readonly policy: string | null;
};

export type CheckFile = { readonly targets: readonly WrittenTarget[]; readonly ignores: readonly Ignore[] };

/** Reads `targets` and `ignore`. @throws input-invalid with line, field, what it holds and what was expected */
export function parseCheckFile(text: string): CheckFile {
  const lines = new Lines();
  const fields = openFields(parseOne(text, lines), '', lines);
  const targets = fields.maps('targets').map(readTarget);
  const ignores = fields.maps('ignore').map(readIgnore);
  fields.end();
  return { targets, ignores };
}

function parseOne(text: string, lines: LineCounter): Node | null {
  const octets = Buffer.byteLength(text);
  if (octets > MAXIMUM_OCTETS)
    throw new Problem('input-invalid', `Cannot read check file: ${octets} octets, expected at most ${MAXIMUM_OCTETS}`);
  const documents = parseAllDocuments(text, { lineCounter: lines, strict: true, uniqueKeys: true, schema: 'core', prettyErrors: false });
  const [document] = documents;
  const error = documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])[0];
  if (document === undefined || documents.length > 1 || error !== undefined) {
    const where = error === undefined ? '' : ` at line ${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]}`;
    throw new Problem('input-invalid', `Cannot read check file: not one YAML document${where}, expected targets and ignore`);
  }
  return document.contents as Node | null;
}

function readTarget(fields: Fields): WrittenTarget {
  const address = parseTarget(fields.text('address', targetForm));
  const target: WrittenTarget = {
    ...address,
    line: fields.line,
    name: nameOfTarget(address),
    serverName: fields.has('serverName') ? fields.text('serverName', hostForm) : null,
    spiffeId: fields.has('identity') ? fields.text('identity', spiffeForm) : null,
    speech: fields.has('speech') ? fields.word('speech', ['http', 'other', ...startTlsProtocols]) : 'http',
    clientCertificate: fields.has('clientCertificate') ? fields.word('clientCertificate', demandWords) : null,
    anchors: fields.has('anchors') ? fields.text('anchors', fileForm) : null,
    policy: fields.has('policy') ? fields.text('policy', nameForm) : null,
  };
  fields.end();
  return target;
}

function readIgnore(fields: Fields): Ignore {
  const ignore: Ignore = {
    line: fields.line,
    rule: fields.word('rule', Object.keys(postureRules) as PostureRuleId[]),
    target: fields.has('target') ? fields.text('target', targetForm) : null,
    reason: fields.text('reason', reasonForm),
    until: Number(fields.text('until', dateForm)),
  };
  fields.end();
  return ignore;
}

const demandWords = ['required', 'not-required'] as const;
const targetForm: TextForm = { expected: 'HOST:PORT', parse: (text) => nameOfTarget(parseTarget(text)) };
const hostForm: TextForm = {
  expected: 'a DNS name or an address',
  parse: (text) => (/^[0-9.]+$|:/.test(text) ? parseIpAddress(text) : parseDnsName(text)),
};
const spiffeForm: TextForm = { expected: 'a SPIFFE ID', parse: parseSpiffeId };
const fileForm: TextForm = {
  expected: 'a file',
  parse: (text) => {
    if (text === '') throw new Problem('input-invalid', 'Cannot read file name: nothing, expected one');
    return text;
  },
};
const MAXIMUM_OCTETS = 1_048_576;
