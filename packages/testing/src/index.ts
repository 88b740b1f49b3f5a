export { describeService } from './describe-service.ts'
export { resolveService } from './resolve-service.ts'
export type { Server, Service, ServiceName, Way } from './service.ts'
export { type StartOptions, startServer } from './start-server.ts'
