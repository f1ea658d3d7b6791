/**
 * The five types of Envoy's resources refer to one another, and go over one stream: what is referred to comes first and goes last, make before break.
 * It is the order of sending that counts: Envoy takes the messages of a stream in turn, but keeps back its acknowledgement of clusters
 * until what they need has come, so that to wait for it would be to wait for ever.
 */
export const places = ['cluster', 'endpoint', 'secret', 'listener', 'route'] as const;
export type Place = (typeof places)[number];

/** What a type of one stream shows of itself. */
export type Ordered = {
  readonly place: Place;
  /** Nothing that is to be added or replaced was left when it was last looked at. */
  readonly settled: boolean;
  /** All of it was acknowledged: no older form, whatever that refers to, is kept. */
  readonly isInForce: boolean;
};

/** True if this place may add and replace: what it may refer to was sent. */
export function mayAdd(place: Place, others: readonly Ordered[]): boolean {
  return others.every((other) => other.settled || !precedes[place].includes(other.place));
}

/** True if this place may remove: what may refer to it was taken in its new form. */
export function mayRemove(place: Place, others: readonly Ordered[]): boolean {
  return others.every((other) => (other.settled && other.isInForce) || !referrers[place].includes(other.place));
}

/** True if this place may end connections: whoever connects anew meets the secrets of now, and nobody passes once more by those of before. */
export function mayEndConnections(place: Place, others: readonly Ordered[]): boolean {
  return (place !== 'listener' && place !== 'cluster') || others.every((other) => other.settled || other.place !== 'secret');
}

/** True if some place waits for this one. */
export function isAwaited(place: Place): boolean {
  return places.some((other) => precedes[other].includes(place));
}

/** Secrets and endpoints stop nobody: who refers to one that has not come yet waits for it by itself. */
const precedes: { readonly [place in Place]: readonly Place[] } = {
  cluster: [],
  endpoint: [],
  secret: [],
  listener: ['cluster'],
  route: ['cluster', 'listener'],
};

/** A listener has to go first: the next one may have its address. */
const referrers: { readonly [place in Place]: readonly Place[] } = {
  cluster: ['listener', 'route'],
  endpoint: ['cluster', 'listener', 'route'],
  secret: ['cluster', 'listener'],
  listener: [],
  route: ['listener'],
};
