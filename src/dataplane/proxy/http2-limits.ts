import type { ClientSessionOptions, ServerSessionOptions } from 'node:http2';

/** Calls that one connection carries at a time; what most servers allow, and what bounds the memory that a caller can fill. */
export const MAXIMUM_STREAMS = 100;
/**
 * What one stream may send ahead of its reader. 100 streams of a caller that never reads hold 12.8 MB, not more; on a line with
 * 5 ms of delay a single stream still moves 25 MB a second.
 */
const STREAM_WINDOW_OCTETS = 131_072;
/** One window of every stream at a time would be enough; less makes streams of one connection wait for each other. */
export const CONNECTION_WINDOW_OCTETS = 4_194_304;
/** As of HTTP/1.1: what nginx and Envoy take by default and a little more, for identity headers of a hop before. */
export const MAXIMUM_HEADER_OCTETS = 65_536;
const MAXIMUM_HEADER_FIELDS = 200;

/** Limits of both sides; nghttp2 itself ends a connection after a few CONTINUATION frames of one header (CVE-2024-27316). */
const COMMON = {
  /** Megabytes of one session: answers that wait for 100 slow readers, and headers. A session above it takes no new call. */
  maxSessionMemory: 16,
  maxHeaderListPairs: MAXIMUM_HEADER_FIELDS,
  /** Above the list limit by what HPACK adds, so that a header that was taken can be sent on. */
  maxSendHeaderBlockLength: 2 * MAXIMUM_HEADER_OCTETS,
  maxOutstandingPings: 4,
  maxOutstandingSettings: 4,
  maxSettings: 32,
  /** Frames for streams that are gone; honest peers send a few after a reset. */
  maxSessionInvalidFrames: 500,
  /** What is duplicated is judged where it is read; fields of the application pass as they are. */
  strictSingleValueFields: false,
  settings: {
    enablePush: false,
    maxConcurrentStreams: MAXIMUM_STREAMS,
    initialWindowSize: STREAM_WINDOW_OCTETS,
    maxHeaderListSize: MAXIMUM_HEADER_OCTETS,
  },
} as const;

/** For connections of callers. */
export const SERVER_SESSION: ServerSessionOptions = {
  ...COMMON,
  maxSessionRejectedStreams: 100,
  /**
   * Rapid reset (CVE-2023-44487): a connection that resets more calls than this ends. A busy caller whose deadlines pass resets some
   * hundred at a time.
   */
  streamResetBurst: 1_000,
  streamResetRate: 100,
};

/** For connections to services and endpoints. */
export const CLIENT_SESSION: ClientSessionOptions = {
  ...COMMON,
  /** Until its SETTINGS say what it takes (RFC 9113 section 5.1.2: at least this many is recommended). */
  peerMaxConcurrentStreams: MAXIMUM_STREAMS,
};
