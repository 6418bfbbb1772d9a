# boot=provium: the root file system is an archive in the initramfs and lives in memory.
mountroot()
{
	mount -t tmpfs -o mode=755 root "$rootmnt"
	tar -xf /root.tar -C "$rootmnt"
	rm /root.tar
}
