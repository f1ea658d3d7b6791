/** The protocol of an endpoint as settings name it. */
export type EnvoyProtocol = 'http' | 'grpc' | 'tcp';

/**
 * What a filter chain, a cluster or a listener of ours is for. It is their name, the prefix of their statistics and a tag of access logs, so
 * whoever reads one of these knows which endpoint and channel it speaks of.
 */
export type AccessLogName = {
  readonly side: 'inbound' | 'outbound';
  readonly endpointId: string;
  /** `listener` names the port itself; the others how the peer speaks. */
  readonly channel: 'plaintext' | 'tls' | 'mtls' | 'passthrough' | 'listener';
  readonly protocol: EnvoyProtocol;
};

/** `cs|inbound|endpoint_01…|mtls|http`. */
export function formatAccessLogName({ side, endpointId, channel, protocol }: AccessLogName): string {
  return ['cs', side, endpointId, channel, protocol].join('|');
}

/** Null for what is no name of ours. */
export function parseAccessLogName(text: string): AccessLogName | null {
  const [mark, side, endpointId = '', channel, protocol, ...rest] = text.split('|');
  if (mark !== 'cs' || endpointId === '' || rest.length > 0) return null;
  if (!isOneOf(SIDES, side) || !isOneOf(CHANNELS, channel) || !isOneOf(PROTOCOLS, protocol)) return null;
  return { side, endpointId, channel, protocol };
}

function isOneOf<Word extends string>(words: readonly Word[], word: string | undefined): word is Word {
  return (words as readonly (string | undefined)[]).includes(word);
}

const SIDES = ['inbound', 'outbound'] as const;
const CHANNELS = ['plaintext', 'tls', 'mtls', 'passthrough', 'listener'] as const;
const PROTOCOLS = ['http', 'grpc', 'tcp'] as const;
