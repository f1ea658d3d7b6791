import { type AccessLogName, parseAccessLogName } from '../../core/envoy/access-log-name.ts';
import {
  type AccessLogCommon,
  AccessLogType,
  type HTTPAccessLogEntry,
  type ResponseFlags,
  type TCPAccessLogEntry,
} from '../../core/messages/generated/envoy/data/accesslog/v3/accesslog_pb.ts';
import type { Address as WireAddress } from '../../core/messages/generated/envoy/config/core/v3/address_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import { formatHostPort } from '../../platform/network/host-port.ts';

/** What Envoy says of a connection or a call. What it is not known by is empty. */
export type LogFacts = {
  /** Unique for one run of an Envoy. */
  readonly connection: string;
  /** Of the filter chain; null if the connection came to none. */
  readonly chain: AccessLogName | null;
  /** URL-encoded PEM of the leaf that the peer showed. */
  readonly certificate: string;
  /** `IP:PORT`, or empty. */
  readonly remote: string;
  readonly startedAt: Instant;
  /** When it was over; null of what goes on. */
  readonly endedAt: Instant | null;
  /** IANA protocol version, or 0 where there was no handshake that came so far. */
  readonly tlsVersion: number;
  /** Why the handshake of the connection failed. */
  readonly handshakeFailure: string;
  /** Why the one with the next hop did. */
  readonly upstreamFailure: string;
  readonly flags: Partial<ResponseFlags>;
  readonly terminationDetails: string;
  readonly routeName: string;
  /** A next hop was chosen, whether it was there or not. */
  readonly wentOn: boolean;
};

/** `isOver`: it is of the end of the connection, by the log of its port; else of its beginning. */
export type ConnectionFacts = LogFacts & { readonly listener: AccessLogName | null; readonly isOver: boolean };

export type CallFacts = LogFacts & {
  /** Unique for one run of an Envoy. */
  readonly call: string;
  /** 0 where nothing was answered. */
  readonly status: number;
  readonly details: string;
  /** The call has ended; else it is one that goes on for long. */
  readonly isOver: boolean;
};

/** Null for what is no entry, and for a stream's own word on its end, which the log of its port tells, too. */
export function readConnectionEntry({ commonProperties: common }: TCPAccessLogEntry): ConnectionFacts | null {
  if (common === undefined || common.accessLogType === AccessLogType.TcpConnectionEnd) return null;
  const listener = nameOf(common.customTags['listener']);
  // Whom a balancer speaks for by the PROXY protocol; no header of HTTP has a say in it.
  const remote = addressOf(common.downstreamRemoteAddress ?? common.downstreamDirectRemoteAddress);
  return { ...factsOf(common), remote, listener, isOver: listener !== null };
}

export function readCallEntry({ commonProperties: common, response }: HTTPAccessLogEntry): CallFacts | null {
  if (common === undefined) return null;
  return {
    ...factsOf(common),
    call: `${textOf(common.customTags['conn'], MAXIMUM_NAME)} ${common.startTime?.seconds ?? 0n}.${common.startTime?.nanos ?? 0}`,
    status: response?.responseCode ?? 0,
    details: (response?.responseCodeDetails ?? '').slice(0, MAXIMUM_TEXT),
    isOver: common.accessLogType !== AccessLogType.DownstreamPeriodic && common.accessLogType !== AccessLogType.DownstreamStart,
  };
}

function factsOf(common: AccessLogCommon): LogFacts {
  const { customTags: tags, tlsProperties, startTime, duration } = common;
  const startedAt = startTime === undefined ? 0 : millisecondsOf(startTime);
  return {
    connection: textOf(tags['conn'], MAXIMUM_NAME),
    chain: nameOf(tags['chain']),
    certificate: textOf(tags['cert'], MAXIMUM_CERTIFICATE),
    remote: addressOf(common.downstreamDirectRemoteAddress ?? common.downstreamRemoteAddress),
    startedAt: Math.floor(startedAt),
    endedAt: duration === undefined ? null : Math.floor(startedAt + millisecondsOf(duration)),
    tlsVersion: versions[tlsProperties?.tlsVersion ?? 0] ?? 0,
    handshakeFailure: textOf(common.downstreamTransportFailureReason, MAXIMUM_TEXT),
    upstreamFailure: textOf(common.upstreamTransportFailureReason, MAXIMUM_TEXT),
    flags: common.responseFlags ?? {},
    terminationDetails: textOf(common.connectionTerminationDetails, MAXIMUM_TEXT),
    routeName: textOf(common.routeName, MAXIMUM_NAME),
    wentOn: textOf(common.upstreamCluster, MAXIMUM_NAME) !== '',
  };
}

function millisecondsOf({ seconds, nanos }: { readonly seconds: bigint; readonly nanos: number }): number {
  return Number(seconds) * 1_000 + nanos / 1_000_000;
}

/** Envoy writes `-` for what is not there. What is too long is not cut but taken as not there: half a certificate is none. */
function textOf(text: string | undefined, maximum: number): string {
  return text === undefined || text === '-' || text.length > maximum ? '' : text;
}

function nameOf(text: string | undefined): AccessLogName | null {
  return parseAccessLogName(textOf(text, MAXIMUM_NAME));
}

function addressOf(address: WireAddress | undefined): string {
  if (address?.address.case !== 'socketAddress') return '';
  const { address: host, portSpecifier } = address.address.value;
  return portSpecifier.case === 'portValue' ? formatHostPort({ host, port: portSpecifier.value }) : '';
}

/** By Envoy's numbers of versions. */
const versions: readonly number[] = [0, 0x0301, 0x0302, 0x0303, 0x0304];
const MAXIMUM_NAME = 300;
const MAXIMUM_TEXT = 1_000;
/** A leaf of 8 kB in PEM, with every third character in three. */
const MAXIMUM_CERTIFICATE = 32_768;
