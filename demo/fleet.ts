/** Who is in Acme Cloud and who calls whom; everything else about the fleet is derived from here. */

export type ServiceName =
  | 'storefront' | 'orders' | 'payments' | 'inventory' | 'shipping' | 'customers'
  | 'partner' | 'reports' | 'batch' | 'legacy' | 'processor'; // prettier-ignore

export type FleetService = {
  readonly name: ServiceName;
  readonly replicas: number;
  /** Whether others call it. */
  readonly isEndpoint: boolean;
  /** How it gets its identity: a sidecar, a bridge in front of it, or nothing because it is somebody else's. */
  readonly proxy: 'sidecar' | 'bridge' | 'none';
  readonly owner: string;
};

export type FleetPath = {
  readonly caller: ServiceName;
  readonly endpoint: ServiceName;
  /** Whether the caller's request carries a customer's record. */
  readonly sendsRecord: boolean;
};

export const services: readonly FleetService[] = [
  { name: 'storefront', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'web' },
  { name: 'orders', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'commerce' },
  { name: 'payments', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'finance' },
  { name: 'inventory', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'commerce' },
  { name: 'shipping', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'logistics' },
  { name: 'customers', replicas: 2, isEndpoint: true, proxy: 'sidecar', owner: 'identity' },
  { name: 'partner', replicas: 1, isEndpoint: false, proxy: 'sidecar', owner: 'partner-desk' },
  { name: 'reports', replicas: 1, isEndpoint: false, proxy: 'sidecar', owner: 'finance' },
  { name: 'batch', replicas: 1, isEndpoint: false, proxy: 'sidecar', owner: 'commerce' },
  { name: 'legacy', replicas: 1, isEndpoint: true, proxy: 'bridge', owner: 'logistics' },
  { name: 'processor', replicas: 1, isEndpoint: true, proxy: 'none', owner: 'finance' },
];

export const paths: readonly FleetPath[] = [
  { caller: 'storefront', endpoint: 'orders', sendsRecord: true },
  { caller: 'storefront', endpoint: 'customers', sendsRecord: false },
  { caller: 'storefront', endpoint: 'inventory', sendsRecord: false },
  { caller: 'orders', endpoint: 'payments', sendsRecord: false },
  { caller: 'orders', endpoint: 'inventory', sendsRecord: false },
  { caller: 'orders', endpoint: 'shipping', sendsRecord: true },
  { caller: 'shipping', endpoint: 'customers', sendsRecord: false },
  { caller: 'shipping', endpoint: 'legacy', sendsRecord: true },
  { caller: 'payments', endpoint: 'processor', sendsRecord: false },
  { caller: 'partner', endpoint: 'orders', sendsRecord: false },
  { caller: 'partner', endpoint: 'storefront', sendsRecord: false },
  { caller: 'reports', endpoint: 'customers', sendsRecord: false },
  { caller: 'batch', endpoint: 'inventory', sendsRecord: false },
];

/** The caller that nobody declared; only its traffic tells of it. */
export const undeclaredCaller: ServiceName = 'reports';
/** The caller whose trust file lacks the issuing root. */
export const mistrustingCaller: ServiceName = 'partner';
/** The identity that is suspended under load, and whose key is stolen. */
export const suspendedService: ServiceName = 'batch';
/** Its certificate is really issued, and it may call nobody: the impostor steals it. */
export const robbedService: ServiceName = 'inventory';
/** The DNS name that the processor's certificate carries. */
export const processorName = 'localhost';

export const trustDomain = 'acme.example';
export const environment = 'demo';
/** All replicas of a caller together, on each path: 13 paths make 208 calls a second. */
export const CALLS_PER_SECOND_AND_PATH = 16;

export function spiffeIdOf(service: string): string {
  return `spiffe://${trustDomain}/${environment}/${service}`;
}

export function serviceOf(name: ServiceName): FleetService {
  return services.find((service) => service.name === name)!;
}

export function callersOf(endpoint: ServiceName): readonly ServiceName[] {
  return paths.filter((path) => path.endpoint === endpoint).map((path) => path.caller);
}

export function callsOf(caller: ServiceName): readonly FleetPath[] {
  return paths.filter((path) => path.caller === caller);
}
