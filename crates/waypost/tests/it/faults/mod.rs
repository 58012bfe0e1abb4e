//! What breaks: processes, disks, clients, model servers. Nothing is lost,
//! doubled, altered, leaked or called complete when it is not.
