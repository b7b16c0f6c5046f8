#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
  Stops the taxdisk agent and takes its programs away. Journal, key and configuration (C:\ProgramData\taxdisk) stay.
.DESCRIPTION
  Afterwards an administrator of the broker revokes the agent (`taxdisk agent revoke`): only he knows whether its disk goes to another PC.
#>
param([string]$InstallDir = (Join-Path $env:ProgramFiles 'taxdisk'))
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$Agent = Join-Path $InstallDir 'taxdisk-agent.exe'
if (Test-Path $Agent) {
    & $Agent uninstall
    if ($LASTEXITCODE -ne 0) {
        [Console]::Error.WriteLine('uninstall.ps1: the service could not be taken away; the line above says why. Nothing was removed.')
        exit 1
    }
}
foreach ($File in 'taxdisk-agent.exe', 'taxdisk-bridge.exe', 'agent.sample.toml') {
    Remove-Item -Force -ErrorAction SilentlyContinue (Join-Path $InstallDir $File)
}
if ((Test-Path $InstallDir) -and -not (Get-ChildItem -Force $InstallDir)) { Remove-Item -Force $InstallDir }
exit 0
