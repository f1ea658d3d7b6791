import { isAlias, isScalar, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { checkProfileName } from '../../core/issuance/profile-spec.ts';
import { parseProfileSpec } from '../../core/issuance/parse-profile-spec.ts';
import { exceptionKinds, type ExceptionKind, isAnonymousKind } from '../../core/policy/exception-kind.ts';
import { modes } from '../../core/policy/mode.ts';
import { parsePolicy, tiers } from '../../core/policy/policy.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseRolloutConfig } from '../../core/rollout/rollout-config.ts';
import {
  type Declaration,
  type DeclarationKind,
  declarationKinds,
  type EndpointDeclaration,
  type TargetDeclaration,
} from './declaration.ts';
import { type Fields, openFields, problemAt } from './declaration-fields.ts';
import { readAnonymousTerms } from './parse-anonymous.ts';
import { readExternal } from './parse-external.ts';
import { readFederatedDomain } from './parse-federated-domain.ts';
import { readInbound, readOwnOutbound, readOwnPort, refuseSharedListens } from './parse-inbound.ts';
import { dataClasses, exposures, planes, protocols, proxyRoles } from './record.ts';
import {
  addressForm,
  callerForm,
  dateForm,
  dnsNameForm,
  labelForm,
  lineForm,
  localSocketForm,
  methodForm,
  nameForm,
  pathPatternForm,
  reasonForm,
  routeCallerForm,
  spiffeIdForm,
} from './text-forms.ts';

/**
 * Reads YAML documents of `apiVersion: countersign/v1`. Nothing is looked up: a name may still name nothing.
 * @throws input-invalid with line, field, what it holds and what was expected
 */
export function parseDeclaration(text: string): readonly Declaration[] {
  const lines = new LineCounter();
  return parseDocuments(text, lines).map((node) => readDeclaration(openFields(node, '', lines)));
}

function parseDocuments(text: string, lines: LineCounter): readonly Node[] {
  const octets = Buffer.byteLength(text);
  if (octets > MAXIMUM_OCTETS)
    throw new Problem('input-invalid', `Cannot read declaration: ${octets} octets, expected at most ${MAXIMUM_OCTETS}`);
  refuseDeepText(text);
  let documents: ReturnType<typeof parseAllDocuments>;
  try {
    documents = parseAllDocuments(text, { lineCounter: lines, strict: true, uniqueKeys: true, schema: 'core', prettyErrors: false });
  } catch (cause) {
    throw new Problem('input-invalid', 'Cannot read declaration: the YAML cannot be parsed', { cause });
  }
  const nodes: Node[] = [];
  for (const document of documents) {
    const [error] = [...document.errors, ...document.warnings];
    if (error !== undefined)
      throw problemAt(lines.linePos(error.pos[0]).line, 'the document', error.message.split('\n')[0] ?? '', 'well-formed YAML');
    const isEmpty = document.contents === null || (isScalar(document.contents) && document.contents.value === null);
    if (isEmpty) continue;
    refuseAliases(document.contents as Node, lines);
    nodes.push(document.contents as Node);
  }
  if (nodes.length > MAXIMUM_DOCUMENTS)
    throw new Problem('input-invalid', `Cannot read declaration: ${nodes.length} documents, expected at most ${MAXIMUM_DOCUMENTS}`);
  return nodes;
}

/** The parser recurses; what it would recurse into is counted before it sees it: nested brackets in one line, and indents. */
function refuseDeepText(text: string): void {
  let line = 1;
  let opened = 0;
  for (const character of text) {
    if (character === '\n') line += 1;
    else if (character === '[' || character === '{') opened += 1;
    else if (character === ']' || character === '}') opened = Math.max(0, opened - 1);
    if (opened > MAXIMUM_BRACKETS) throw problemAt(line, 'the document', `${opened} open brackets`, `at most ${MAXIMUM_BRACKETS}`);
  }
  const deep = /^(?:[ ]{100}|(?:[-?:] +){12})/m.exec(text);
  if (deep !== null)
    throw problemAt(text.slice(0, deep.index).split('\n').length, 'the document', 'too deep a nesting', 'at most a dozen levels');
}

/** An alias can make a small text mean a huge one. No declaration needs one. */
function refuseAliases(contents: Node, lines: LineCounter): void {
  visit(contents, {
    Node(_key, node) {
      const anchor = isAlias(node) || ('anchor' in node && node.anchor !== undefined);
      if (anchor) throw problemAt(lines.linePos(node.range?.[0] ?? 0).line, 'the document', 'an anchor or alias', 'none');
    },
  });
}

function readDeclaration(fields: Fields): Declaration {
  fields.word('apiVersion', ['countersign/v1']);
  const kind = fields.word('kind', declarationKinds);
  const common = {
    line: fields.line,
    name: fields.text('name', nameForm),
    environment: fields.has('environment') ? fields.text('environment', labelForm) : null,
    region: fields.has('region') ? fields.text('region', labelForm) : null,
  };
  const state = fields.has('state') ? fields.word('state', ['present', 'absent']) : 'present';
  const declaration: Declaration = state === 'absent' ? { ...common, kind: 'absent', of: kind } : { ...common, ...readers[kind](fields) };
  fields.end();
  return declaration;
}

type Content<Kind extends DeclarationKind> = Omit<
  Extract<Declaration, { readonly kind: Kind }>,
  'line' | 'name' | 'environment' | 'region'
>;

const readers: { readonly [Kind in DeclarationKind]: (fields: Fields) => Content<Kind> } = {
  Service: (fields) => ({
    kind: 'Service',
    owner: fields.text('owner', lineForm),
    tier: readTier(fields),
    spiffeId: fields.has('spiffeId') ? (fields.text('spiffeId', spiffeIdForm) as SpiffeId) : null,
  }),
  Endpoint: readEndpoint,
  Proxy(fields) {
    const role = fields.word('role', proxyRoles);
    const plane = fields.has('plane') ? fields.word('plane', planes) : 'native';
    if (plane === 'envoy' && (role === 'sdk' || role === 'scanner')) {
      throw fields.fail('plane', plane, `native for the role ${role}, which is a program of ours`);
    }
    const service = fields.has('service') ? fields.text('service', nameForm) : null;
    const inbound = fields.maps('inbound').map((port) => (role === 'sdk' ? readOwnPort(port) : readInbound(port)));
    const outbound = fields.maps('outbound').map((port) => (role === 'sdk' ? readOwnOutbound(port) : readOutbound(port)));
    if (role === 'scanner' && (service !== null || inbound.length + outbound.length > 0)) {
      throw fields.fail('role', role, 'no service, inbound or outbound for a scanner');
    }
    if (role !== 'scanner' && service === null) throw fields.fail('service', 'nothing', 'the name of a service');
    refuseSharedListens(fields, inbound, outbound);
    if (role === 'sdk') {
      refuseTwice(fields, 'inbound', inbound);
      refuseTwice(fields, 'outbound', outbound);
    }
    return { kind: 'Proxy', role, plane, service, inbound, outbound };
  },
  Exception(fields) {
    const of = readExceptionSubject(fields);
    const exception = fields.word('exception', Object.keys(exceptionKinds) as ExceptionKind[]);
    const anonymous = isAnonymousKind(exception) ? readAnonymousTerms(fields, exception) : null;
    if (anonymous !== null && of.kind === 'path') throw fields.fail('path', 'a path', 'an endpoint: nobody knows whose path it is');
    return {
      kind: 'Exception',
      exception,
      anonymous,
      of,
      owner: fields.text('owner', lineForm),
      reason: fields.text('reason', reasonForm),
      until: Number(fields.text('until', dateForm)),
    };
  },
  Policy: (fields) => ({ kind: 'Policy', policy: attempt(fields, () => parsePolicy(takeRest(fields))) }),
  Profile: readProfile,
  Target: readTarget,
  FederatedTrustDomain: readFederatedDomain,
};

function readEndpoint(fields: Fields): EndpointDeclaration {
  const addresses = fields.texts('addresses', addressForm);
  if (addresses.length === 0) throw fields.fail('addresses', 'nothing', 'a list of IP:PORT');
  const protocol = fields.word('protocol', protocols);
  const endpoint: EndpointDeclaration = {
    kind: 'Endpoint',
    service: fields.text('service', nameForm),
    protocol,
    addresses,
    exposure: fields.has('exposure') ? fields.word('exposure', exposures) : 'internal',
    tier: readTier(fields),
    dataClasses: fields.texts('dataClasses', { expected: dataClasses.join(', '), parse: (text) => text }).map((word) => {
      const known = dataClasses.find((name) => name === word);
      if (known === undefined) throw fields.fail('dataClasses', word, `of ${dataClasses.join(', ')}`);
      return known;
    }),
    owner: fields.text('owner', lineForm),
    policy: fields.has('policy') ? fields.text('policy', nameForm) : 'default',
    allowedCallers: fields.texts('allowedCallers', callerForm),
    routes: fields.maps('routes').map(readRoute),
    external: fields.has('external') ? readExternal(fields.map('external')) : null,
  };
  if (endpoint.routes.length > 0 && (protocol === 'tcp' || endpoint.external !== null)) {
    throw fields.fail(
      'routes',
      `${endpoint.routes.length} items`,
      'none where no proxy of ours reads the calls: of tcp, and outside of the trust domain',
    );
  }
  return endpoint;
}

function readRoute(fields: Fields): EndpointDeclaration['routes'][number] {
  // Without the key it would not be clear whether nobody or everybody is meant.
  if (!fields.has('callers')) throw fields.fail('callers', 'nothing', 'a list of callers, which may be empty');
  const route = {
    methods: fields.texts('methods', methodForm),
    host: fields.has('host') ? fields.text('host', dnsNameForm) : '',
    path: fields.text('path', pathPatternForm),
    callers: fields.texts('callers', routeCallerForm),
  };
  fields.end();
  return route;
}

function readOutbound(fields: Fields): { readonly endpoint: string; readonly listen: string } {
  const outbound = { endpoint: fields.text('endpoint', nameForm), listen: fields.text('listen', localSocketForm) };
  fields.end();
  return outbound;
}

function refuseTwice(fields: Fields, key: string, ports: readonly { readonly endpoint: string }[]): void {
  const names = ports.map(({ endpoint }) => endpoint);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw fields.fail(key, twice, 'each endpoint once');
}

function readExceptionSubject(fields: Fields): Extract<Declaration, { readonly kind: 'Exception' }>['of'] {
  if (fields.has('path') === fields.has('endpoint'))
    throw fields.fail('path', 'path and endpoint, or neither', 'exactly one of path and endpoint');
  if (fields.has('endpoint')) return { kind: 'endpoint', endpoint: fields.text('endpoint', nameForm) };
  const path = fields.map('path');
  const subject = { kind: 'path', caller: path.text('caller', callerForm), endpoint: path.text('endpoint', nameForm) } as const;
  path.end();
  return subject;
}

/** A profile's name stands in tokens' rules and in ACME orders, so it is checked here and not only where it is used. */
function readProfile(fields: Fields): Content<'Profile'> {
  const name = fields.text('name', nameForm);
  const spec = attempt(fields, () => parseProfileSpec(takeRest(fields)));
  attempt(fields, () => checkProfileName(name, spec));
  return { kind: 'Profile', spec };
}

function readTarget(fields: Fields): TargetDeclaration {
  const isAll = fields.plain('endpoints') === 'all';
  const endpoints = isAll ? 'all' : fields.texts('endpoints', nameForm);
  if (endpoints !== 'all' && endpoints.length === 0) throw fields.fail('endpoints', 'nothing', 'all, or a list of endpoints');
  const mode = fields.has('mode') ? fields.word('mode', modes) : 'enforce';
  const unwanted = fields.maps('unwanted').map((item) => {
    const caller = {
      endpoint: item.text('endpoint', nameForm),
      caller: item.text('caller', callerForm),
      reason: item.text('reason', reasonForm),
    };
    item.end();
    return caller;
  });
  const conditions = takeRest(fields);
  attempt(fields, () => parseRolloutConfig(conditions));
  return { kind: 'Target', endpoints, mode, conditions, unwanted };
}

function readTier(fields: Fields): (typeof tiers)[number] {
  return fields.has('tier') ? fields.word('tier', tiers) : 'standard';
}

/** What is left for a reader of its own, which refuses unknown keys itself. */
function takeRest(fields: Fields): { readonly [key: string]: unknown } {
  return Object.fromEntries(fields.unread().map((key) => [key, fields.plain(key)]));
}

/** Gives the reader's own message a line. */
function attempt<T>(fields: Fields, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    const inner = cause.message.replace(/^Cannot read [a-z]+: /, '');
    throw new Problem('input-invalid', `Cannot read declaration: line ${fields.line}, ${inner}`, { cause });
  }
}

/** A fleet of some thousand services. */
const MAXIMUM_OCTETS = 1_048_576;
const MAXIMUM_DOCUMENTS = 20_000;
const MAXIMUM_BRACKETS = 64;
