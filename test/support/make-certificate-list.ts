import { sign } from 'node:crypto';
import { DAY_MS, type Instant } from '../../src/core/time/instant.ts';
import { extensionNode } from '../../src/core/x509/build-certificate.ts';
import { assembleCertificateList } from '../../src/core/x509/build-certificate-list.ts';
import { type CertificateList, type CrlReason, crlReasons, parseCertificateList } from '../../src/core/x509/certificate-list.ts';
import type { Certificate } from '../../src/core/x509/certificate.ts';
import { contextConstructed, contextPrimitive, tags } from '../../src/core/x509/der.ts';
import {
  boolean,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  namedBits,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from '../../src/core/x509/der-writer.ts';
import { generalNamesNode, type SubjectAltNames } from '../../src/core/x509/general-name.ts';
import type { Name } from '../../src/core/x509/name.ts';
import { oids } from '../../src/core/x509/oid.ts';
import { algorithmIdentifier, signatureAlgorithmFor, signatureParameters } from '../../src/core/x509/signature-algorithm.ts';
import { time } from '../../src/core/x509/x509-time.ts';
import { TEST_NOW, type TestHolder } from './make-certificate.ts';

/** A list as tests want it, wrong ones among them. */
export type TestList = {
  /** Version 1 is written without extensions of the list. */
  readonly version?: 1 | 2;
  readonly revoked?: readonly {
    readonly certificate: Pick<Certificate, 'serial'>;
    readonly reason?: CrlReason;
    readonly of?: Name;
    readonly extension?: DerNode;
  }[];
  /** Null: no number. */
  readonly number?: number | null;
  readonly numberCritical?: boolean;
  readonly deltaBase?: number;
  readonly thisUpdate?: Instant;
  readonly nextUpdate?: Instant | null;
  readonly scope?: TestScope;
  readonly extensions?: readonly DerNode[];
};

export type TestScope = {
  readonly name?: DerNode;
  readonly only?: 'user' | 'authority' | 'attribute';
  /** Bits of ReasonFlags. */
  readonly reasons?: readonly number[];
  readonly indirect?: boolean;
};

/** A certificate list of the holder, valid for a day around the moment of tests. */
export function makeList(issuer: TestHolder, list: TestList = {}): CertificateList {
  const algorithm = signatureAlgorithmFor(issuer.key);
  const entries = (list.revoked ?? []).map(({ certificate, reason, of, extension }) => {
    const extensions = [
      ...(reason ? [extensionNode(oids.reasonCode, false, smallInteger(crlReasons[reason], tags.enumerated))] : []),
      ...(of ? [extensionNode(oids.certificateIssuer, true, generalNamesNode({ directory: [of] }))] : []),
      ...(extension ? [extension] : []),
    ];
    const serial = primitive(tags.integer, certificate.serial);
    return sequence(serial, time(TEST_NOW - DAY_MS), ...(extensions.length > 0 ? [sequence(...extensions)] : []));
  });
  const nextUpdate = list.nextUpdate === undefined ? TEST_NOW + DAY_MS : list.nextUpdate;
  const tbs = encodeDer(
    sequence(
      ...(list.version === 1 ? [] : [smallInteger(1)]),
      raw(algorithmIdentifier(algorithm)),
      raw(issuer.name.der),
      time(list.thisUpdate ?? TEST_NOW - DAY_MS),
      ...(nextUpdate === null ? [] : [time(nextUpdate)]),
      ...(entries.length > 0 ? [sequence(...entries)] : []),
      ...(list.version === 1 ? [] : [explicit(0, sequence(...extensionsOf(list)))]),
    ),
  );
  const { hash, options } = signatureParameters(algorithm);
  return parseCertificateList(assembleCertificateList(tbs, algorithm, sign(hash, tbs, { key: issuer.key, ...options })));
}

function extensionsOf({ number = 5, numberCritical = false, deltaBase, scope, extensions = [] }: TestList): DerNode[] {
  const nodes = [...extensions];
  if (number !== null) nodes.push(extensionNode(oids.crlNumber, numberCritical, smallInteger(number)));
  if (deltaBase !== undefined) nodes.push(extensionNode(oids.deltaCrlIndicator, true, smallInteger(deltaBase)));
  if (scope) nodes.push(extensionNode(oids.issuingDistributionPoint, true, scopeNode(scope)));
  // Never an empty list of extensions.
  if (nodes.length === 0) nodes.push(extensionNode('1.2.3.4', false, smallInteger(1)));
  return nodes;
}

/** `[number] IMPLICIT BOOLEAN` that is true. */
function flag(number: number): DerNode {
  return { ...boolean(true), tag: contextPrimitive(number) };
}

function scopeNode({ name, only, reasons, indirect }: TestScope): DerNode {
  return sequence(
    ...(name ? [name] : []),
    ...(only === 'user' ? [flag(1)] : []),
    ...(only === 'authority' ? [flag(2)] : []),
    ...(reasons ? [namedBits(reasons, contextPrimitive(3))] : []),
    ...(indirect === true ? [flag(4)] : []),
    ...(only === 'attribute' ? [flag(5)] : []),
  );
}

/** `[0] DistributionPointName` of these names. */
export function fullName(names: Partial<SubjectAltNames>): DerNode {
  return constructed(contextConstructed(0), [generalNamesNode(names, contextConstructed(0))]);
}

/** `[0] DistributionPointName` of the last part of this name, relative to the issuer. */
export function relativeName({ rdns }: Name): DerNode {
  const attributes = rdns.at(-1)!.map(({ type, tag, octets }) => sequence(oid(type), primitive(tag, octets)));
  return constructed(contextConstructed(0), [constructed(contextConstructed(1), attributes)]);
}

/** A CRLDistributionPoints extension of one point. */
export function pointExtension(
  { name, reasons, crlIssuer }: { readonly name?: DerNode; readonly reasons?: readonly number[]; readonly crlIssuer?: Name },
  critical = false,
): { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array } {
  const point = sequence(
    ...(name ? [name] : []),
    ...(reasons ? [namedBits(reasons, contextPrimitive(1))] : []),
    ...(crlIssuer ? [generalNamesNode({ directory: [crlIssuer] }, contextConstructed(2))] : []),
  );
  return { oid: oids.crlDistributionPoints, critical, value: encodeDer(sequence(point)) };
}
